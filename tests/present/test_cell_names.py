"""A named cell goes by its name in every file and on every page."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from support.comparing import run as recorded

import evalkit as ek
from evalkit.analysis.analysis import Analysis
from evalkit.present.html import report as html
from evalkit.present.markdown.report import document
from evalkit.present.plots.tradeoffs import parallel, pareto
from evalkit.present.terminal.tables import by_cell
from evalkit.present.text.decision import cell_in_short, cell_in_words, why
from evalkit.store import artefacts

CELLS = {"calm & kind": {"temperature": 0.5, "max_tokens": 60}, "wild": {"temperature": 1.0, "max_tokens": 60}, "short": {"temperature": 0.5}}
WANTED = {"prefer": {"distinct_2": {"goal": "maximize"}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ek.Run:
    return ek.rescore(recorded(tmp_path_factory.mktemp("named") / "run", parameters={}, cells=CELLS, choose=WANTED))


def test_the_files_hold_the_names(run: ek.Run) -> None:
    assert json.loads((run.folder / "analysis.json").read_text())["cell_names"] == list(CELLS)
    assert run.analysis.cell_names == list(CELLS)
    assert run.choice is not None
    assert run.choice.chosen is not None
    name = list(CELLS)[run.choice.chosen]
    assert json.loads((run.folder / "choice.json").read_text())["chosen_name"] == run.choice.chosen_name == name
    text = (run.folder / "recommended.yaml").read_text()
    assert f'# The setting "{name}".\n' in text
    assert yaml.safe_load(text) == dict(run.choice.parameters)


def test_where_nothing_is_named_no_file_speaks_of_names(tmp_path: Path) -> None:
    found = ek.rescore(recorded(tmp_path / "run", choose=WANTED))
    assert (found.analysis.name_of(0), cell_in_words(found.analysis, 0)) == (None, "temperature=0.5")
    for name in ("analysis.json", "choice.json", "recommended.yaml"):
        text = (found.folder / name).read_text()
        assert "_name" not in text
        assert "The setting" not in text
    assert "| **recommended** | `" in document(found)
    assert artefacts.decode(artefacts.encode(found.analysis), Analysis).cell_names == found.analysis.cell_names


def test_words_name_a_cell_and_its_levels_and_in_brackets_the_name_alone(run: ek.Run) -> None:
    assert cell_in_words(run.analysis, 0) == "calm & kind (temperature=0.5, max_tokens=60)"
    assert cell_in_short(run.analysis, 0) == "calm & kind"
    assert run.choice is not None
    said = "\n".join(text for part in why(run.choice, run.analysis) for text in part.texts)
    assert run.choice.chosen == run.analysis.reference or f"({list(CELLS)[run.analysis.reference]})" in said


@pytest.mark.parametrize(("width", "levels"), [(120, True), (30, False)])
def test_the_terminals_table_has_the_names_and_the_levels_where_there_is_room(run: ek.Run, width: int, levels: bool) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(by_cell(run.analysis, console))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(name[:4] in text for name in CELLS)
    assert ("temperature" in text) == levels
    assert all(len(line) <= width for line in text.split("\n"))


def test_pages_name_the_cells(run: ek.Run) -> None:
    page = html.page(run)
    assert "calm &amp; kind" in page
    assert page.count("wild") >= 2
    assert re.search(r"\| \*\*recommended\*\* `(calm & kind|wild|short)` \|", unescape(document(run)))


def test_figures_name_the_reference_and_the_recommended_cell(run: ek.Run) -> None:
    assert run.choice is not None
    name = list(CELLS)[run.choice.chosen or 0]
    for axes in (pareto(run, "distinct_2", "truncation_rate"), parallel(run)):
        assert f"recommended: {name}" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_answers_are_shown_by_name(run: ek.Run) -> None:
    assert run.show(0, cells=["wild"]) == run.show(0, cells=[1]) == run.show(0, cells=["temperature=1,max_tokens=60"])
    assert "wild (temperature=1, max_tokens=60)" in run.show(0, cells=["wild"])
    with pytest.raises(ek.ExperimentError, match="setting 'mild': expected a number below 3, calm & kind, wild"):
        run.show(0, cells=["mild"])
