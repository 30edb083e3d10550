"""Each benchmark runs at its smallest size, to its end; what it measures is not looked at. For .ci/interop: together they take some minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.process import ROOT, Commands, environment

pytestmark = pytest.mark.slow
PARTS = {"direct", "servers", "worlds", "race_prompts", "race_worlds", "meaning_worlds"}  # of others, which run them
BENCHMARKS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in PARTS)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_it_runs_to_its_end(path: Path, tmp_path: Path, commands: Commands) -> None:
    # The processes that it starts itself have to find evalkit too.
    done = commands(["--smallest"], tmp_path, environment({"TMPDIR": str(tmp_path)}), script=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr
