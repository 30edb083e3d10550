"""``executions.jsonl``: one line for each code of an answer that was run, appended the moment it ended, so that none is run twice.

Whoever scores, reports or compares reads what stands here, and runs nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalkit.experiment.experiment import Experiment
from evalkit.metrics.code import Runs, code_in
from evalkit.store import journal
from evalkit.store.journal import Form

FILE = "executions.jsonl"
VERSION = 1
_MANNER = 2
"""Of how code and tests are run; to be raised where that changes what passes, so that all is run anew."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What came of running the code of an answer with its tests.

    Attributes:
        key: what identifies it: the code, the tests, the limits, and the interpreter's version.
        of: the same without the interpreter.
        prompt_id, record: of the first record that holds the code; others may hold the same.
        passed: whether the tests passed.
        why: in a few words why not, which may quote the answer and are as untrusted.
        seconds: it took, with the making of the sandbox.
        python, sandbox: by which interpreter, in what.
    """

    v: int = VERSION
    key: str
    of: str
    prompt_id: str
    record: str
    at: str
    passed: bool
    why: str = ""
    seconds: float = 0.0
    python: str = ""
    sandbox: str = ""


FORM = Form(Execution, VERSION, "execution", "its code is run again")


class Ran(NamedTuple):
    """What is to be run of an answer: its code, its tests, and the key without the interpreter."""

    code: str
    tests: str
    of: str


class Executions:
    """What stands in a results folder: of each code with its tests and limits what came of it last, by whichever interpreter."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self._last: dict[str, Execution] = {}

    def add(self, one: Execution) -> None:
        """Note an execution."""
        self.keys.add(one.key)
        before = self._last.get(one.of)
        if before is None or before.at <= one.at:
            self._last[one.of] = one

    def passed(self, of: str) -> bool | None:
        """Whether the last one passed; None where nothing was run."""
        found = self._last.get(of)
        return None if found is None else found.passed

    def pythons(self, every: set[str]) -> set[str]:
        """The interpreters that the executions which count were run by, of those of these keys."""
        return {one.python for of in every if (one := self._last.get(of)) is not None}


def load(folder: Path) -> Executions:
    """The executions of a results folder. Raises `RecordError` where a line is none."""
    out = Executions()
    for one in journal.read(folder / FILE, FORM):
        out.add(one)
    return out


def key_of(of: str, python: str) -> str:
    """What identifies an execution for ever, 32 hexadecimal digits."""
    return hashlib.sha256(f"{of} {python}".encode()).hexdigest()[:32]


class Work:
    """What a check ``runs`` would run of the answers of an experiment."""

    def __init__(self, check: Runs, experiment: Experiment) -> None:
        self.check = check
        self._tests = {prompt.id: check.tests(prompt.tests, prompt.vars or {}) for prompt in experiment.prompts}

    def of(self, prompt_id: str, text: str) -> Ran | None:
        """What would be run of an answer, without code where it has none; None where its prompt has no tests."""
        tests = self._tests.get(prompt_id)
        if tests is None:
            return None
        code = code_in(text)
        whole = msgspec.json.encode([_MANNER, _written(code), _written(tests), self.check.seconds, self.check.memory_mb])
        return Ran(code, tests, hashlib.sha256(whole).hexdigest()[:32])


def _written(text: str) -> str:
    """A text as JSON can hold it: what is half a character is no code, and told from all else."""
    return text.encode("utf-8", "backslashreplace").decode()
