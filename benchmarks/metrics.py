"""The metrics: CPU and memory for 200-word answers in groups of eight, growth on hostile texts, and agreement with the references.

Each size runs in a process of its own. Texts are drawn from a Zipf vocabulary, and made one group at a time. With `--smallest` a few texts go
through all of it, and no limit is held.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
K, WORDS = 8, 200
LIMITS = {1_000: None, 10_000: 8.0, 100_000: 85.0}
MOST_MB = 1024.0
MOST_GROWTH = 1.2


def vocabulary(rng: np.random.Generator, size: int = 5_000) -> tuple[np.ndarray, np.ndarray]:
    letters = list("etaoinshrdlucmfw")
    words = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(size)])
    weight = 1 / np.arange(1, size + 1)
    return words, np.cumsum(weight / weight.sum())


def groups(answers: int) -> Iterator[list[str]]:
    rng = np.random.default_rng(1)
    words, share = vocabulary(rng)
    for _ in range(answers // K):
        drawn = words[np.minimum(np.searchsorted(share, rng.random((K, WORDS))), len(words) - 1)]
        yield [" ".join(row) for row in drawn]


def child(answers: int) -> None:
    from evalkit.metrics import score

    score([["warm up", "warm up too"]])
    started = time.process_time()
    for _ in groups(answers):
        pass
    making = time.process_time() - started
    started = time.process_time()
    table = score(groups(answers))
    print(time.process_time() - started - making, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(table))


def speed(sizes: list[int]) -> bool:
    good, memory = True, math.nan
    print(f"{'answers':>9} {'CPU s':>8} {'limit':>7} {'µs an answer':>13} {'MB':>7}")
    for answers in sizes:
        limit = LIMITS.get(answers)
        done = subprocess.run([sys.executable, __file__, "--child", str(answers)], check=True, capture_output=True, text=True)
        seconds, mb, _ = map(float, done.stdout.split())
        print(f"{answers:>9,} {seconds:>8.2f} {limit or '-':>7} {seconds / answers * 1e6:>13.0f} {mb:>7.0f}")
        good &= (limit is None or seconds <= limit) and mb <= MOST_MB
        if answers == 10_000:
            memory = mb
        if answers > 10_000:
            good &= mb <= MOST_GROWTH * memory
    return good


def against_references(answers: int) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from support import metric_oracles as oracles

    from evalkit.metrics import UAX29, score

    ours = theirs = 0.0
    for group in groups(answers):
        started = time.process_time()
        score([group])
        ours += time.process_time() - started
        started = time.process_time()
        oracles.expected(group, UAX29.cut)
        theirs += time.process_time() - started
    print(f"references (nltk, rouge-score, scipy, counting) need {theirs / ours:.0f} times the CPU, interleaved on {answers} answers")


HOSTILE = {
    "one token": "a ",
    "one letter": "a",
    "one long line": "the quick brown fox jumps over the lazy dog . ",
    "different tokens": "",
    "fibonacci": "a b a a b a b a ",
    "almost a loop": "a a a a a a a a b ",
    "chinese": "今天气很好我们去公园",
    "japanese": "カタカナと漢字",
    "thai": "วันนี้อากาศดี",
    "arabic": "السَّلام عليكم ",
    "flags": "🇫🇷",
    "families": "👨‍👩‍👧‍👦",
    "marks": "e" + "\u0301" * 40,
    "lines": "x\n",
    "blanks": " \t",
    "code": "for i in x:\n    y = f(i, 'a b')\n",
}


def hostile(size: int) -> bool:
    """Growth from `size` bytes to eight times as many."""
    from evalkit.metrics import score

    good = True
    print(f"{'hostile text':>18} {f'{size:,} B, CPU s':>18} {'8 times':>8} {'growth (8 is linear)':>21}")
    for name, unit in HOSTILE.items():
        found = []
        for length in (size, 8 * size):
            text = unit * (length // max(1, len(unit))) if unit else " ".join(f"w{number}" for number in range(length // 7))
            started = time.process_time()
            score([[text, "a b c d e f"]])
            found.append(time.process_time() - started)
        growth = found[1] / max(found[0], 0.005)
        good &= growth < 16
        print(f"{name:>18} {found[0]:>18.2f} {found[1]:>8.2f} {growth:>21.1f}")
    return good


def agreement(number: int) -> bool:
    sys.path.insert(0, str(ROOT / "tests"))
    import warnings

    from support import metric_oracles as oracles

    from evalkit.metrics import UAX29, score

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(7)
    wrong = values = 0
    for _ in range(number):
        group = oracles.random_group(rng)
        row = score([group]).iloc[0]
        for name, other in oracles.expected(group, UAX29.cut).items():
            values += 1
            wrong += not (abs(row[name] - other) <= 1e-9 or (math.isnan(row[name]) and math.isnan(other)))
    print(f"{number:,} random groups, {values:,} values: {wrong} differ from their reference by more than 1e-9")
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="100,000 answers too (half a minute)")
    parser.add_argument("--oracles", type=int, default=0, metavar="N", help="compare N random groups with the references")
    parser.add_argument("--smallest", action="store_true", help="a few texts, to see that it runs; no limit is held")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child)
        return
    good = speed([K] if asked.smallest else [size for size in LIMITS if size <= 10_000 or asked.full])
    against_references(K if asked.smallest else K * 6)
    good &= hostile(2_000 if asked.smallest else 625_000)
    agreed = agreement(2 if asked.smallest else asked.oracles)
    sys.exit(0 if (good or asked.smallest) and agreed else 1)


if __name__ == "__main__":
    main()
