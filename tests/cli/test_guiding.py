"""The guide's pages, offline."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_every_page_is_listed_with_its_title_and_shown_as_it_is(evalkit: Command) -> None:
    listed = evalkit("docs").stdout.splitlines()
    assert [line.split()[0] + ".md" for line in listed] == PAGES
    assert any(line.startswith("race") and line.endswith("A race: a third of the requests") for line in listed)
    assert evalkit("docs", "race").stdout == (ROOT / "docs/race.md").read_text(encoding="utf-8")


def test_a_page_that_is_none_is_told_with_the_nearest(evalkit: Command) -> None:
    done = evalkit("docs", "rase")
    assert done.returncode == 2
    assert done.stderr == "error: docs: unknown topic; did you mean 'race'?\n"


def test_every_page_goes_into_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert shipped == {f"docs/{name}": f"evalkit/guide/{name}" for name in PAGES}
