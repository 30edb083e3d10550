"""Annotations of a build: whatever a text holds, it is one line and one command."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.present.github import _command, _some


@given(st.text())
def test_a_text_makes_one_command_and_no_other(text: str) -> None:
    line = _command("error", text)
    assert line.splitlines() in ([line], [])
    assert line.startswith("::error title=evalkit::")
    assert line.count("%25") >= text.count("%")


def test_more_than_github_shows_are_counted() -> None:
    lines = list(_some("warning", [f"number {number}" for number in range(30)]))
    assert len(lines) == 10
    assert lines[-1] == "::warning title=evalkit::and 21 more: see compare's output"
