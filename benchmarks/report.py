"""Reports of large runs: CPU seconds and memory of making one, its size, and how soon a browser shows it.

python benchmarks/report.py            # 50 × 20 × 8, 200 × 50 × 8 and 100,000 answers; needs chromium for the time to open
python benchmarks/report.py --smallest # 8 × 4 × 2 answers, no limit held, no browser
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.experiment.experiment import check
from evalkit.plan.requests import Plan
from evalkit.store.records import Completion, RecordWriter, Usage, record_of

SIZES = {"50 x 20 x 8": (5, 5, 2, 20, 8), "200 x 50 x 8": (10, 10, 2, 50, 8), "125 x 100 x 8": (5, 5, 5, 100, 8)}
SMALLEST = {"8 x 4 x 2": (2, 2, 2, 4, 2)}
LIMITS: dict[str, dict[str, float]] = {
    "8 x 4 x 2": {},
    "50 x 20 x 8": {"open": 2.0},
    "200 x 50 x 8": {"cpu": 20.0, "rss": 1000.0},
    "125 x 100 x 8": {"size": 25.0},
}


def experiment(temperatures: int, penalties: int, limits: int, prompts: int, replicates: int) -> Any:
    return check(
        {
            "name": "large",
            "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
            "prompts": [{"id": f"p{number:03d}", "user": f"Question {number}?"} for number in range(prompts)],
            "parameters": {
                "temperature": [round(0.1 + 1.2 * at / temperatures, 3) for at in range(temperatures)],
                "frequency_penalty": [round(2.0 * at / penalties, 3) for at in range(penalties)],
                "max_tokens": [100 + 60 * at for at in range(limits)],
            },
            "replicates": replicates,
            "seed": 1,
            "choose": {"profile": "creative"},
        }
    )


def fill(folder: Path, chosen: Any) -> None:
    """Records as a sweep would leave them: words by Zipf's law, flatter at higher temperatures."""
    rng = np.random.default_rng(1)
    words = np.array([f"word{number}" for number in range(5000)])
    plan = Plan(chosen)
    from evalkit.store.folder import write_run

    with RecordWriter(folder) as writer:
        for request in plan:
            exponent = 1.6 - 0.5 * float(request.cell["temperature"])
            limit = int(request.cell["max_tokens"])
            length = int(min(limit, rng.poisson(140)))
            ranks = np.minimum((rng.random(length) ** (-1 / exponent)).astype(int) - 1, 4999)
            text = " ".join(words[(ranks + request.prompt_index * 7) % 5000])
            outcome = Completion(
                text=text,
                finish_reason="length" if length == limit else "stop",
                usage=Usage(prompt_tokens=8, completion_tokens=length, total_tokens=8 + length),
                latency_s=0.5 + length / 200,
                tries=1,
            )
            writer.append(record_of(request, outcome))
    write_run(folder, chosen)


def make(folder: Path) -> None:
    """In a process of its own: the report of a scored run."""
    from evalkit.run import load
    from evalkit.sweeping import reports

    before = time.process_time()
    reports.report(load(folder))
    print(time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def opened(page: Path) -> float | None:
    """Seconds until a browser has loaded the page and run its script; None without one."""
    import shutil

    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        return None
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.browser import chromium

    times = []
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        for _ in range(3):
            browser.get("about:blank")
            browser.get(page.as_uri())
            times.append(browser.execute_script("const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd / 1000"))
    return sorted(times)[1]


def main(sizes: dict[str, tuple[int, int, int, int, int]]) -> None:
    broken = False
    print(f"{'run':<16} {'answers':>8} {'score CPU s':>12} {'report CPU s':>13} {'peak MB':>8} {'page MB':>8} {'opens in s':>10}")
    for name, shape in sizes.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "large"
            folder.mkdir()
            chosen = experiment(*shape)
            fill(folder, chosen)
            from evalkit.sweeping import rescoring

            before = time.process_time()
            rescoring.rescore(folder)
            scored = time.process_time() - before
            done = subprocess.run([sys.executable, __file__, "--make", str(folder)], capture_output=True, text=True, check=True)
            cpu, rss = map(float, done.stdout.split())
            page = folder / "report.html"
            size = page.stat().st_size / 1e6
            shown = None if sizes is SMALLEST else opened(page)
            limits: dict[str, float] = LIMITS.get(name, {})
            figures = {"cpu": cpu, "rss": rss, "size": size, "open": shown or 0.0}
            over = [f"{key} over {limit:g}" for key, limit in limits.items() if figures[key] > limit]
            broken |= bool(over)
            answers = len(Plan(chosen))
            opens = "no browser" if shown is None else f"{shown:.2f}"
            print(f"{name:<16} {answers:>8,} {scored:>12.1f} {cpu:>13.1f} {rss:>8.0f} {size:>8.1f} {opens:>10}  {'; '.join(over)}", flush=True)
    sys.exit(broken)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]))
    else:
        main(SMALLEST if sys.argv[1:] == ["--smallest"] else SIZES)
