"""Each benchmark still runs: at its smallest size, to its end; what it measures is not looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import ROOT, environment

pytestmark = pytest.mark.slow
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_it_runs_to_its_end(path: Path, tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    env = environment({"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "OPENBLAS_NUM_THREADS": "1"})
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), "--smallest"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr
    assert subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True).stdout == tracked
