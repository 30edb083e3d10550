"""Each benchmark can be begun: all that it imports is there. `.ci/interop` runs them, at their smallest."""

from __future__ import annotations

import subprocess
import sys

from support.process import ROOT, environment

BEGUN = """
import pathlib, runpy, sys
sys.path.insert(0, "benchmarks")
for path in sorted(pathlib.Path("benchmarks").glob("*.py")):
    names = runpy.run_path(str(path), run_name="begun")
    assert "main" in names or "__doc__" in names, path
    print(path.stem)
"""


def test_each_can_be_begun() -> None:
    done = subprocess.run([sys.executable, "-c", BEGUN], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
