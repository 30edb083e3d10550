"""The journal of executions: what identifies one, and which of several counts."""

from __future__ import annotations

from pathlib import Path

from support.records import experiment

from evalkit.metrics.code import Runs
from evalkit.store.executions import FILE, FORM, Execution, Work, key_of, load
from evalkit.store.journal import Journal


def execution(passed: bool, python: str = "cpython 3.11.7", at: str = "2026-01-01T00:00:00Z", of: str = "o") -> Execution:
    return Execution(key=key_of(of, python), of=of, prompt_id="p", record="r", at=at, passed=passed, why="" if passed else "no", python=python)


def written(folder: Path, *every: Execution) -> None:
    with Journal(folder / FILE, FORM) as journal:
        for one in every:
            journal.append(one)


def test_what_is_written_is_read_and_of_several_interpreters_the_last_counts(tmp_path: Path) -> None:
    assert load(tmp_path).passed("o") is None
    late, early = execution(True, "cpython 3.12.1", "2026-01-02T00:00:00Z"), execution(False)
    written(tmp_path, late, early)
    found = load(tmp_path)
    assert found.passed("o") is True
    assert found.keys == {late.key, early.key}
    assert found.pythons({"o", "other"}) == {"cpython 3.12.1"}


def test_a_torn_line_is_run_again_and_nothing_else(tmp_path: Path) -> None:
    written(tmp_path, execution(True))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"v":1,"key":"x"')
    assert load(tmp_path).passed("o") is True
    with Journal(tmp_path / FILE, FORM) as journal:
        assert "its code is run again" in str(journal.mended)


def test_an_execution_is_known_by_its_code_its_tests_its_limits_and_its_interpreter() -> None:
    given = experiment(prompts=("p",))
    given = given.model_copy(update={"prompts": (given.prompts[0].model_copy(update={"tests": "assert f(1)"}),)})
    name = given.prompts[0].id
    ran = Work(Runs(), given).of(name, "```python\nx = 1\n```")
    assert ran is not None
    assert (ran.code, ran.tests) == ("x = 1", "assert f(1)")
    same = Work(Runs(), given).of(name, "Other words.\n```\nx = 1\n```")
    assert same is not None
    assert same.of == ran.of
    others = [
        Work(Runs(), given).of(name, "```\nx = 2\n```"),
        Work(Runs(seconds=5), given).of(name, "```\nx = 1\n```"),
        Work(Runs(memory_mb=100), given).of(name, "```\nx = 1\n```"),
        Work(Runs(then="assert g(1)"), given).of(name, "```\nx = 1\n```"),
        Work(Runs(), given).of(name, "no code \ud800"),
    ]
    assert len({ran.of, *(one.of for one in others if one is not None)}) == 6
    assert key_of(ran.of, "cpython 3.11.7") != key_of(ran.of, "cpython 3.12.1")
    assert Work(Runs(), given).of("elsewhere", "x = 1") is None
