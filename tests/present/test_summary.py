"""What is said of a run is said alike wherever it is said, on one screen, and nothing of it is lost on the way."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console
from support.comparing import run as made
from support.comparing import varied
from support.records import completion, experiment, failure

import evalkit as ek
from evalkit.plan.requests import Request
from evalkit.present.html.report import page
from evalkit.present.markdown.report import document
from evalkit.present.terminal.screen import LINES, screen
from evalkit.run import Run, load
from evalkit.scoring.gather import metric_of
from evalkit.store.records import Outcome
from evalkit.summary import Summary, summarise
from evalkit.sweeping.rescoring import rescore

LEVELS = {"temperature": [0, 0.5, 1.0], "max_tokens": [20, 40]}
CREATIVE = {"choose": {"profile": "creative"}}


def copied(request: Request) -> Outcome:
    return completion(f"The same words again and again to prompt {request.prompt_index}, whatever the setting is.")


def loops(request: Request) -> Outcome:
    return completion(f"{request.replicate} again and again and again and " + "again and " * 30)


def sometimes(request: Request) -> Outcome:
    return failure() if request.replicate == 0 and request.cell_index == 1 else varied(request)


RUNS: dict[str, tuple[Callable[[Request], Outcome], dict[str, object]]] = {
    "one to recommend": (varied, CREATIVE),
    "nothing satisfies": (loops, CREATIVE),
    "replicates are copies": (copied, CREATIVE),
    "three prompts only": (varied, {**CREATIVE, "prompts": ["a", "b", "c"]}),
    "no choice": (varied, {}),
    "failures": (sometimes, CREATIVE),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    answer, more = RUNS[request.param]
    folder = made(tmp_path_factory.mktemp("run") / "summed", answer, LEVELS, **more)
    rescore(folder)
    return load(folder)


def on_screen(found: Summary, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(screen(found, console))
    return console.file.getvalue()  # type: ignore[attr-defined]


def plain(text: str) -> str:
    """The letters and digits of a text alone: what escapes, wrapping and emphasis leave as it is."""
    return re.sub(r"[^A-Za-z0-9]+", "", unescape(text))


@pytest.mark.parametrize("width", [80, 120])
def test_one_screen_holds_it_and_nothing_is_wider(run: Run, width: int) -> None:
    lines = on_screen(summarise(run), width).rstrip("\n").split("\n")
    assert len(lines) <= LINES == 30
    assert max(map(len, lines)) <= width


def test_each_fact_reaches_every_rendering(run: Run) -> None:
    found = summarise(run)
    whole = {"page": page(run), "merge request": document(run), "notebook": ek.load(run.folder)._repr_html_(), "prompt": repr(run)}
    if found.use is not None:
        whole["file"] = (run.folder / "recommended.yaml").read_text(encoding="utf-8")
    facts = [*(one.text for one in found.mind), *found.sure, *found.matters]
    assert facts
    for where, text in whole.items():
        for fact in facts:
            assert plain(fact) in plain(text), (where, fact)
    shown = plain(on_screen(found, 120))
    for fact in facts:
        assert plain(fact)[:40] in shown, fact  # the screen may cut what there is no room for, and marks it


def test_what_ought_to_be_told_is_told(run: Run, request: pytest.FixtureRequest) -> None:
    found = summarise(run)
    told = " ".join(one.text for one in found.mind)
    match request.node.callspec.params["run"]:
        case "nothing satisfies":
            assert found.outcome == "none satisfies"
            assert {one.metric for one in found.unmet} & {"loop_rate", "rep_4"}
            assert found.nearest is not None
        case "replicates are copies":
            assert "all replicates are copies" in told
        case "three prompts only":
            assert "3 prompts are few" in told
            assert "nothing can be told apart" in " ".join(found.sure)
        case "no choice":
            assert (found.outcome, found.use) == ("not asked", None)
        case "failures":
            assert "requests failed" in told
        case _:
            assert found.outcome == "chosen"


def test_the_embedded_model_is_called_what_it_is(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", varied, LEVELS, **CREATIVE, endpoint={"base_url": "local", "model": "babbler"})
    rescore(folder)
    assert any("embedded model babbles" in one.text for one in summarise(load(folder)).mind)


def test_metrics_of_the_users_own_are_called_by_their_names_and_have_the_units_that_are_known(tmp_path: Path) -> None:
    own = {"checks": [{"not_contains": "zzz"}, {"not_contains": "the"}], "choose": {"prefer": {"not_contains": {"goal": "maximize"}}}}
    rescore(made(tmp_path / "own", varied, LEVELS, **own))
    run = load(tmp_path / "own")
    told = {one.name: (one.label, one.unit) for one in run.analysis.metrics}
    assert told["not_contains"] == ("not contains", "share")
    assert told["not_contains:2"] == ("not contains:2", "share")
    assert told["rep_4"] == ("four words repeated", "share")
    (row,) = [one for one in summarise(run).rows if one.metric == "not_contains"]
    assert (row.label, row.unit) == ("not contains", "share")
    lines = on_screen(summarise(run), 120)
    assert "not contains" in lines
    assert "share of answers that pass" not in lines


def test_judges_and_scorers_are_called_by_their_names() -> None:
    judge = {"name": "plain_words", "endpoint": {"base_url": "local", "model": "m"}, "rubric": "How plain is it?", "scale": {"min": 1, "max": 5}}
    (found,) = experiment(judges=[judge]).judges
    assert (found.metric().label, found.metric().unit) == ("plain words", "points")
    scored = metric_of("my_scorer.first_part", "group", None, lambda _: 1.0)
    assert (scored.label, scored.unit) == ("my scorer.first part", "number")
