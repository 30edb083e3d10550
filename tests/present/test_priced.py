"""A run with prices and preferences: what the choice names stands first, money is told of 1,000 answers, and the setting to use is marked."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console, RenderableType
from support.comparing import run as recorded

import evalkit as ek
from evalkit.choice import Confirmed
from evalkit.plan.requests import Request
from evalkit.present import plots
from evalkit.present.html.figures import curves, metrics_that_matter
from evalkit.present.html.report import page
from evalkit.present.html.tabulated import maps, metrics, way
from evalkit.present.markdown.report import document
from evalkit.present.terminal import listings
from evalkit.present.terminal.screen import screen
from evalkit.present.terminal.tables import by_cell, by_level
from evalkit.store.records import Completion, Outcome, Usage
from evalkit.summary import summarise
from evalkit.summary.sentences import sure

LEVELS = {"temperature": [0, 1.0], "max_tokens": [20, 40]}
CHOOSE = {
    "prefer": {"cost": {"goal": "minimize"}, "contains": {"goal": "maximize", "weight": 3}},
    "require": {"truncation_rate": {"max": 0.9, "by": "mean"}},
}
ENDPOINT = {"base_url": "http://127.0.0.1:9/v1", "model": "none", "prices": {"input": 0.15, "output": 0.6, "currency": "EUR"}}


def answer(request: Request) -> Outcome:
    """Right at temperature 0; the longer the hotter, and the longer its limit."""
    hot, limit = request.body["temperature"], request.body["max_tokens"]
    right = hot == 0 or (request.prompt_index + request.replicate) % 3 == 0
    words = ["yes" if right else "no", *(f"word{at % (3 + request.replicate)}" for at in range(10 + limit // 4 + int(hot * 5)))]
    usage = Usage(prompt_tokens=12, completion_tokens=len(words) + request.prompt_index % 3)
    return Completion(text=" ".join(words), finish_reason="stop", usage=usage, latency_s=0.5, tries=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ek.Run:
    more = {"endpoint": ENDPOINT, "checks": [{"contains": "yes"}], "choose": CHOOSE}
    return ek.rescore(recorded(tmp_path_factory.mktemp("priced") / "run", answer, LEVELS, **more))


def on_terminal(part: RenderableType | None, console: Console) -> str:
    console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


def console(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_settings_begins_with_what_decides_with_intervals_and_marks_what_to_use(run: ek.Run, width: int) -> None:
    to = console(width)
    text = on_terminal(by_cell(run.analysis, to, choice=run.choice, currency="EUR"), to)
    above, below = text.split("\n")[1:3]
    assert below.index("contains") < above.index("cost of") < (above + below).index("trunc") % (len(above) + 1)
    assert "cost: of 1,000 answers, in EUR." in text
    assert run.choice is not None
    marked = [line for line in text.split("\n") if line.startswith("★ ")]
    assert [line.split()[1:3] for line in marked if "recommended" not in line] == [["0", "20"]]
    assert "★ recommended" in text
    assert re.search(r"★ +0 +20 +1\.000 ±\.\d+ +0\.0\d{3} ±\.0\d{3}▲", text), text
    assert max(map(len, text.split("\n"))) <= width


def test_best_and_worst_are_marked_as_the_choice_wants_them_and_nowhere_else(run: ek.Run) -> None:
    to = console(200)
    chosen = on_terminal(by_cell(run.analysis, to, ["cost", "length_tokens"], choice=run.choice), to)
    assert len(re.findall(r"\d▲", chosen)) == len(re.findall(r"\d▼", chosen)) == 1
    assert re.search(r"^ +1 +40 +0\.0\d+ ±\S+▼", chosen, re.MULTILINE)
    unasked = [one.name for one in run.analysis.metrics if one.better and one.name not in ("contains", "cost", "truncation_rate")]
    for choice, marks in ((run.choice, False), (None, True)):  # without a choice as each metric is better
        to = console(300)
        assert bool(re.search(r"\d▲", on_terminal(by_cell(run.analysis, to, unasked, choice=choice), to))) is marks


def test_money_is_told_of_1000_answers_in_every_table(run: ek.Run) -> None:
    console_80 = console(80)
    levels = on_terminal(by_level(run.analysis, console_80, ["cost"], run.choice, "EUR"), console_80)
    assert re.search(r"0\.0\d{3} ±\.0\d{3}", levels)
    to = console(80)
    effects = on_terminal(listings.verdicts(run.analysis, to, ["contains", "cost"], run.choice, "EUR"), to)
    assert "cost of 1,000" in effects
    for text in (levels, effects, document(run), repr(run), run.choice._repr_html_()):  # type: ignore[union-attr]
        assert not re.search(r"\de-\d", text.partition("What each parameter does</summary>")[0]), text
    assert "in EUR." in levels
    assert "in EUR." in effects
    assert "`cost of 1,000 answers, EUR`" in document(run)


def test_the_page_has_money_of_1000_answers_in_its_data_too(run: ek.Run) -> None:
    found = {one["name"]: one for one in metrics(run)}
    means = {row.cell_index: row.mean for row in run.analysis.by_cell if row.metric == "cost"}
    assert found["cost"]["mean"] == pytest.approx([1_000 * mean for mean in means.values()], rel=1e-4)
    assert found["cost"]["head"] == "cost of 1,000 answers, EUR"
    assert list(found)[:3] == metrics_that_matter(run)[:3] == ["contains", "cost", "truncation_rate"]
    (tile,) = {maps(run)["cost"]["0|1"][0][0][0]}
    assert tile == pytest.approx(1_000 * means[0], rel=1e-4)
    assert (way("contains", run), way("cost", run), way("distinct_1", run)) == ("More is wanted.", "Less is wanted.", "Higher is better for variety.")
    text = page(run)
    assert '<button type="button">cost of 1,000 answers, EUR</button>' in text
    assert "evalkit report" not in text.partition("Next</dt>")[2].partition("</dd>")[0]
    assert all(">contains: means" not in one.svg or "over prompts" in one.svg for one in curves(run))


def test_figures_show_what_the_choice_names_against_each_other(run: ek.Run) -> None:
    ax = plots.pareto(run)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("cost of 1,000 answers, EUR (↓ better)", "contains (↑ better)")
    ax.figure.canvas.draw()
    shown = [float(label.get_text()) for label in ax.get_xticklabels()]
    assert shown == pytest.approx([1_000 * at for at in ax.get_xticks()], rel=1e-3)


def test_the_first_screen_says_goal_and_reference_whole(run: ek.Run) -> None:
    to = console(120)
    text = on_terminal(screen(summarise(run), to), to)
    assert "Instead of    temperature 1  max_tokens 40  (the reference: nearest to the defaults)\n" in text
    assert "Goal          most answers with the text (weight 3), then least cost; only with answers cut off at most 90 %" in text


def test_what_was_measured_again_is_told_before_and_fresh_in_the_metric_that_decides_most(run: ek.Run) -> None:
    assert run.choice is not None
    assert run.choice.chosen is not None
    same = {"cell_index": run.choice.chosen, "n_prompts": 8, "replicates": 4}
    fresh = [
        Confirmed(metric="cost", selected_on=1e-5, fresh=2e-5, ci_low=1.5e-5, ci_high=2.5e-5, **same),
        Confirmed(metric="contains", selected_on=0.96, fresh=0.95, ci_low=0.91, ci_high=0.97, **same),
    ]
    said = sure(msgspec.structs.replace(run.choice, confirmed=fresh), run.analysis, summarise(run).rows)[-1]
    assert said == "Measured again on 4 fresh answers to each prompt: contains 96 % before, 95 % [91, 97] fresh; 1 of 2 figures held."
