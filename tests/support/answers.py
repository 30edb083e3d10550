"""Right answers to the prompts that ``init --for code`` brings: code alone, as a model would give it."""

RIGHT = {
    "median": """def median(numbers):
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
""",
    "slug": """def slug(text):
    import re
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
""",
    "chunks": """def chunks(items, size):
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
""",
    "retry": """def retry(times):
    import functools
    def decorate(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except Exception:
                    if attempt == times - 1:
                        raise
        return wrapped
    return decorate
""",
    "flatten": """def flatten(nested):
    out = []
    for one in nested:
        out.extend(flatten(one) if isinstance(one, list) else [one])
    return out
""",
    "count-words": """def count_words(path):
    with open(path, encoding="utf-8") as file:
        return sum(len(line.split()) for line in file)
""",
    "roman": """def roman(number):
    out = ""
    for value, sign in ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"),
                        (5, "V"), (4, "IV"), (1, "I")):
        count, number = divmod(number, value)
        out += sign * count
    return out
""",
    "point": """from dataclasses import dataclass
from math import hypot


@dataclass
class Point:
    x: float
    y: float

    def distance(self, other: "Point") -> float:
        return hypot(self.x - other.x, self.y - other.y)
""",
    "is-prime": """def is_prime(n):
    return n > 1 and all(n % factor for factor in range(2, int(n**0.5) + 1))
""",
    "group-by": """def group_by(items, key):
    from collections import defaultdict
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
""",
    "parse-date": """def parse_date(text):
    from datetime import datetime
    return datetime.strptime(text, "%Y-%m-%d").date()
""",
    "merge": """def merge(a, b):
    out = []
    a, b = list(a), list(b)
    while a and b:
        out.append(a.pop(0) if a[0] <= b[0] else b.pop(0))
    return out + a + b
""",
}
