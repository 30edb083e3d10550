"""Code of answers in a sandbox: how long the self-test of each way takes that works here, and how many trivial codes with a test are run in a second.

    python benchmarks/sandbox.py [--smallest]

One at a time, and as many at once as there are cores; each has walls of its own. A way that does not work here is told with its reason.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

from evalkit.sandbox.finding import proven, ways
from evalkit.sandbox.limits import Limits
from evalkit.sandbox.running import Sandbox, WallsError

CODE, TESTS = "def double(x):\n    return x * 2", "assert double(2) == 4"


def a_second(way: Sandbox, at_once: int, many: int) -> float:
    own = way.anew()
    try:
        with ThreadPoolExecutor(at_once) as pool:
            own.run(CODE, TESTS, Limits())
            begun = time.perf_counter()
            found = list(pool.map(lambda _: own.run(CODE, TESTS, Limits()).passed, range(many)))
            assert all(found)
            return many / (time.perf_counter() - begun)
    finally:
        own.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true")
    many = 10 if parser.parse_args().smallest else 200
    cores = os.cpu_count() or 1
    print(f"{'':24}{'self-test':>12}{'one at a time':>16}{f'{cores} at once':>12}")
    for way in ways():
        begun = time.perf_counter()
        try:
            missed = [name for name, holds in proven(way).items() if not holds]
        except WallsError as fault:
            missed = [str(fault)]
        took = time.perf_counter() - begun
        if missed:
            print(f"{way.name:24}not here: {', '.join(missed)}")
            continue
        print(f"{way.name:24}{took:10.2f} s{a_second(way, 1, many):14.1f}/s{a_second(way, cores, many):10.1f}/s")


if __name__ == "__main__":
    main()
