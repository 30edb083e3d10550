"""What every test may use."""

from __future__ import annotations

import gc
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.process import COVER, Commands, environment

# The machines are noisy, and no test is about time. The examples are the same at each run, so that a change is judged by what it
# changed; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("evalkit", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("evalkit")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a run in the background, which children would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What was collected and imported stays to the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer has exported must not decide a test."""
    for name in COVER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """What runs the command line, for all tests of this process."""
    runner = Commands()
    yield runner
    runner.close()


@pytest.fixture
def evalkit(tmp_path: Path, commands: Commands) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a user does, in an empty folder; returns the finished process with its output as text."""

    def run(*arguments: object, cwd: Path = tmp_path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return commands(list(map(str, arguments)), cwd, environment(env))

    return run
