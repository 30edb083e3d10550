"""The notebooks run from a clean kernel, say what they skip, and are kept without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.process import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SKIPS = "06-paradigm"


def named(path: Path) -> str:
    return path.stem


def test_there_are_seven_in_order() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_notebook_is_valid_and_kept_without_outputs(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(book)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    for cell in book["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "strip them: python notebooks/strip.py"
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_each_figure_is_followed_by_prose(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    for place, cell in enumerate(cells):
        if cell.cell_type == "code" and "ek.plots." in cell.source:
            assert place + 1 < len(cells), cell.source
            assert cells[place + 1].cell_type == "markdown", cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_every_page_that_a_notebook_links_to_exists(path: Path) -> None:
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of the kernel's own machinery
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_notebook_runs_from_a_clean_kernel(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    before = set((ROOT / "results").iterdir())
    folder = path.parent if path.stem < "04" else ROOT  # from either they must work
    kept = nbformat.read(path, as_version=4)
    for cell in kept.cells:  # half of the requests show as well whether it runs
        cell.source = re.sub(r"\b(replicates\W{1,3})4\b", r"\g<1>2", cell.source)
    book = NotebookClient(kept, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    said = ["".join(one.get("text", "") for one in cell.outputs if one.output_type == "stream" and one.name == "stdout") for cell in code]
    skipped = [text for text in said if text.startswith("skipped:")]
    assert len(skipped) == (len(code) if path.stem == SKIPS else 0)
    drawn = [cell for cell in code if any("image/png" in one.get("data", {}) for one in cell.outputs)]
    asked = [] if path.stem == SKIPS else [cell for cell in code if "ek.plots." in cell.source]
    assert len(drawn) == len(asked)
    assert set((ROOT / "results").iterdir()) == before
