"""Code in answers: what of an answer is code, and which tests a prompt has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics.checks import fault
from evalkit.metrics.code import Runs, code_in, fault_of, runs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Here:\n```python\nx = 1\n```\nDone.\n```python\ny = 2\n```", "x = 1"),
        ("```js\nlet x\n```\n```py\nx = 1\n```", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("```Python3\nx = 1\n```", "x = 1"),
        ("```{.python}\nx = 1\n```", "x = 1"),
        ("~~~python\nx = 1\n~~~", "x = 1"),
        ("````python\ntext = '''\n```\n'''\n````", "text = '''\n```\n'''"),
        ("```python\ndef f():\n    return", "def f():\n    return"),
        ("```python\n\n```\n```\nx = 1\n```", "x = 1"),
        ("def f(x):\n    return x\n", "def f(x):\n    return x\n"),
        ("```js\nlet x\n```", ""),
        ("That is easy.", ""),
        ("```python\nno code at all\n```", "no code at all"),
        ("", ""),
        ("(" * 5_000, ""),
    ],
)
def test_the_code_of_an_answer_is_its_first_block_in_python_else_the_whole_where_it_parses(text: str, expected: str) -> None:
    assert code_in(text) == expected


unfenced = st.text(st.characters(exclude_characters="`~", exclude_categories=("Cs",)), min_size=1).filter(str.strip)


@given(unfenced, st.sampled_from(["", "py", "python"]))
def test_what_stands_between_fences_is_taken_as_it_is(code: str, language: str) -> None:
    assert code_in(f"So:\n```{language}\n{code}\n```\nThat is it.") == code


@pytest.mark.parametrize(
    "argument",
    [
        *("x", [], {"than": "x"}, {"then": ""}, {"then": 1}, {"then": "def"}),
        *({"seconds": 0}, {"seconds": True}, {"seconds": 1e9}, {"memory_mb": 1}, {"memory_mb": 99.5}),
    ],
)
def test_what_is_no_argument_of_runs_is_refused(argument: Any) -> None:
    with pytest.raises(ValueError, match="runs"):
        runs(argument)
    assert fault({"runs": argument})


def test_a_check_that_has_nothing_to_run_is_refused() -> None:
    assert "tests:" in str(fault("runs", tests=False))
    assert fault("runs", tests=True) is None
    assert fault({"runs": {"then": "assert f(1)"}}, tests=False) is None


def test_the_tests_of_a_prompt_are_its_own_or_those_of_all_with_its_variables() -> None:
    assert Runs().tests("assert x", {}) == "assert x"
    assert Runs().tests(None, {}) is None
    assert Runs().tests(" \n", {}) is None
    assert Runs("assert {{ name }}(2) == {{value}}").tests(None, {"name": "double", "value": "4"}) == "assert double(2) == 4"
    assert Runs("assert {{name}}(2)").tests("assert x", {}) is None
    assert runs({"then": "assert {{name}}(2)", "seconds": 2}) == Runs("assert {{name}}(2)", 2.0, 512)


def test_what_is_wrong_with_code_is_told_with_its_line() -> None:
    assert fault_of("x = 1\ny = (") == "line 2: '(' was never closed"
    assert fault_of("x = 1") is None
