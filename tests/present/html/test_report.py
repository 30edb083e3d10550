"""Reports as text: what stands in them, what cannot get out of them, what is left out and said."""

from __future__ import annotations

import html as html_text
import json
import re
import subprocess
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cmarkgfm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comparing import run as made
from support.comparing import varied
from support.hostile import HOSTILE
from support.records import completion, failure
from support.reports import hostile, swept

from evalkit.analysis.analysis import CellMean
from evalkit.errors import RecordError
from evalkit.experiment.experiment import check
from evalkit.metrics import METRICS
from evalkit.plan.requests import Plan, Request
from evalkit.present.html import answers
from evalkit.present.html import report as html
from evalkit.present.markdown.report import document
from evalkit.present.text.words import mean_and_reach
from evalkit.run import Run, load
from evalkit.scoring.scores import score
from evalkit.scoring.tables import write_tables
from evalkit.store.folder import write_run
from evalkit.store.records import Outcome, read
from evalkit.sweeping.rescoring import rescore
from evalkit.text.escaping import guarded, harmless, markdown, markdown_cell, markdown_prose, visible

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept(tmp_path_factory.mktemp("run") / "reported")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return hostile(tmp_path_factory.mktemp("run") / "hostile")


class Page(HTMLParser):
    """The elements of a page, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data


def data_of(page: str) -> dict[str, object]:
    return json.loads(Page(page).data)


def test_the_page_says_the_decision_first_then_what_else_would_do_then_the_answers(run: Run) -> None:
    page = html.page(run)
    places = [page.index(f'<section id="{name}"') for name in ("decision", "ties", "pareto", "read", "effects", "maps", "settings", "method")]
    assert places == sorted(places)
    assert run.choice is not None
    assert "client.chat.completions.create(" in page
    assert run.analysis.digest in page
    assert "uax29-words" in page
    data = data_of(page)
    assert len(data["cells"]) == len(run.analysis.cells)
    assert sum(len(group) for prompts in data["answers"].values() for group in prompts.values()) == run.analysis.counts.planned
    for metric in data["metrics"]:
        by = {row.cell_index: row.mean for row in run.analysis.by_cell if row.metric == metric["name"]}
        assert metric["mean"] == [pytest.approx(by[cell], rel=1e-4) if by[cell] == by[cell] else None for cell in sorted(by)]


def test_the_page_fetches_nothing_and_names_its_script_and_style_by_hash(run: Run) -> None:
    page = html.page(run)
    policy = next(said["content"] for tag, said in Page(page).tags if tag == "meta" and said.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", page)
    assert not [said for _, said in Page(page).tags if "style" in said or any(name.startswith("on") for name in said)]


def test_maps_are_means_over_prompts_as_the_figures_have_them(run: Run) -> None:
    data = data_of(html.page(run))
    tile = data["maps"]["distinct_1"]["0|2"][1][2]  # temperature 1.2, max_tokens 80
    grid = run.grid("distinct_1")
    here = [index for index, cell in enumerate(run.analysis.cells) if cell["temperature"] == 1.2 and cell["max_tokens"] == 80]
    assert tile[0] == pytest.approx(float(np.nanmean(np.nanmean(grid[here], axis=0))), rel=1e-4)


def test_hostile_texts_stand_in_the_page_as_text_alone(bad: Run) -> None:
    page = html.page(bad)
    read = Page(page)
    assert [tag for tag, _ in read.tags if tag == "script"] == ["script", "script"]
    assert not [tag for tag, _ in read.tags if tag in ("iframe", "img", "form", "link", "base", "plaintext", "textarea", "template", "math")]
    assert not [said for _, said in read.tags if any(name.startswith("on") for name in said)]
    data = json.loads(read.data)
    shown = {data["texts"][answer[0]] for prompts in data["answers"].values() for group in prompts.values() for answer in group}
    for text in HOSTILE:
        expected = visible(unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8")))[:40]
        if "\ud83d" not in text and expected.strip():
            assert any(expected[:20] in one for one in shown), text[:40]
    assert not any(char in page for char in "\x00\x1b\x9b\u202e\u2066")
    assert not re.search("<[!/s]", read.data)


def test_hostile_texts_do_not_break_the_markdown(bad: Run) -> None:
    text = document(bad)
    assert len(text.splitlines()) <= 60
    outside = re.sub(r"(`+)(?:(?!\1).)*?\1(?!`)", "", re.sub(r"(?ms)^(`{3,})json\n.*?^\1$", "", text))
    assert "<script" not in outside
    assert "<img" not in outside
    assert "javascript:" not in re.sub(r"\\\[.*?\\\]\(", "", outside) or "](javascript" not in outside.replace("\\]", "")
    assert not any(char in text for char in "\x00\x1b\x9b\u202e\u2066")
    tables = re.findall(r"(?m)(?:^\|.*\n)+", text)
    assert len(tables) == 2
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_the_markdown_begins_with_what_to_use_and_is_short(run: Run) -> None:
    text = document(run, {"trade-off": "figures/0.png"})
    assert run.choice is not None
    assert re.match(r"## `reported`: (use `|no setting)", text)
    assert len(text.splitlines()) <= 60
    assert "![trade-off](figures/0.png)" in text
    assert run.analysis.digest in text


def test_a_run_without_choose_without_prompts_enough_or_without_answers_is_reported_too(tmp_path: Path) -> None:
    one = swept(tmp_path / "one", choose=None, parameters=None, prompts=[{"id": "a", "user": "Hello?"}], replicates=1)
    page = html.page(one)
    assert "has no <code>choose:</code>" in page
    assert "no parameter has two levels" in page
    assert document(one).startswith("## `reported`: what its parameters do")
    data = data_of(page)
    assert data["parameters"] == []


def scored(folder: Path, answer: Callable[[Request], Outcome], parameters: dict[str, Any], **more: Any) -> Run:
    rescore(made(folder, answer, parameters, **more))
    return load(folder)


def test_a_setting_of_which_all_requests_failed_is_reported_without_a_number(tmp_path: Path) -> None:
    run = scored(
        tmp_path / "run", lambda one: failure() if one.cell_index == 0 else varied(one), {"temperature": [0.5, 1.0]}, choose={"profile": "balanced"}
    )
    page = html.page(run)
    assert run.analysis.compared_on is not None
    assert np.isnan(run.analysis.compared_on.eligible[0])
    for metric in data_of(page)["metrics"]:
        assert metric["mean"][0] is None
        assert metric["mean"][1] is not None
    first = re.search(r'<tr id="cell-0".*?</tr>', page, re.S)
    assert first is not None
    assert set(re.findall(r"<td>(?!0<span|0 )([^<]*)", first[0])) == {"–"}
    assert " nan" not in document(run).lower()


def test_parameters_called_like_columns_of_the_answers_do_not_take_their_place(tmp_path: Path) -> None:
    names = {"text": [1, 2], "seed": [3, 4], "outcome": ["a", "b"]}
    run = scored(tmp_path / "run", varied, names, prompts=["p", "q"], replicates=1)
    table = run.responses()
    assert set(table["outcome"]) == {"completion"}
    assert set(table["parameter_text"]) == {1, 2}
    assert all(isinstance(text, str) and text for text in table["text"])
    assert set(table["parameter_outcome"]) == {"a", "b"}
    assert "cells-table" in html.page(run)


def test_what_an_endpoint_says_of_the_end_is_shown_with_nothing_hidden_and_short(tmp_path: Path) -> None:
    run = scored(tmp_path / "run", lambda _: completion("yes", "\u202estop\x00" + "x" * 5000), {}, prompts=["p"], replicates=1)
    data = data_of(html.page(run))
    (row,) = data["answers"]["0"]["0"]
    finish = data["texts"][row[1]]
    assert finish.startswith("⟦U+202E⟧stop⟦U+0000⟧")
    assert len(finish) == 200


def test_a_mean_is_shown_with_both_reaches_and_is_0_only_where_it_is() -> None:
    def told(metric: str, mean: float, low: float, high: float) -> tuple[str, str]:
        return mean_and_reach(CellMean(cell_index=0, metric=metric, mean=mean, se=0.1, ci_low=low, ci_high=high, n_prompts=3, n_eligible=9))

    assert told("m", 0.5, 0.4, 0.6) == ("0.500", "±0.100")
    assert told("m", 0.5, 0.4, 0.7) == ("0.500", "-0.100 +0.200")
    assert told("m", 0.0002, 0.0001, 0.0003) == ("2.0e-04", "±1.0e-04")
    assert told("m", 0.0, 0.0, 0.0) == ("0.000", "±0.000")
    assert told("length_words", 12.34, 12.0, 12.68) == ("12.3", "±0.3")
    assert told("m", np.nan, np.nan, np.nan) == ("–", "")
    assert told("m", 0.5, np.nan, np.nan) == ("0.500", "")


def test_failures_are_told_by_kind_with_the_endpoints_words(bad: Run) -> None:
    page = html.page(bad)
    assert sum(bad.analysis.counts.failures.values()) > 0
    assert "No request of this run failed" not in page
    assert "rejected" in page


@pytest.mark.parametrize(("cells", "prompts", "replicates"), [(200, 50, 8), (1, 1, 1), (3, 100_000, 4), (20_000, 2, 1), (50, 20, 8), (5, 5, 5_000)])
def test_what_a_page_shows_is_bounded_and_all_where_it_fits(cells: int, prompts: int, replicates: int) -> None:
    chosen = answers._chosen(cells, prompts, replicates)
    shown = cells * len(chosen.prompts) * chosen.replicates
    assert shown <= max(answers.MOST_ANSWERS, cells)
    assert shown * chosen.characters <= max(answers.MOST_CHARACTERS, 200 * shown)
    if cells * prompts * replicates <= answers.MOST_ANSWERS:
        assert len(chosen.prompts) == prompts
        assert chosen.replicates == replicates


@given(st.text())
def test_visible_text_holds_nothing_that_turns_or_hides(text: str) -> None:
    shown = visible(text)
    assert not any(char in shown for char in "\x00\x1b\x7f\x9b\u202a\u202e\u2066\u2069\u200e\u200f\ufeff")
    assert visible(shown) == shown
    assert all(char in shown for char in text if char.isalnum())


@given(st.text(alphabet="`|a\n\\@<"))
def test_a_code_span_cannot_be_ended_from_inside(text: str) -> None:
    span = markdown(text)
    ticks = re.match("`+", span)
    assert ticks is not None
    inside = span[len(ticks[0]) : -len(ticks[0])]
    assert ticks[0] not in re.findall("`+", inside)
    assert "\n" not in span
    assert not re.search(r"(?<!\\)\|", markdown_cell(text))


def test_prose_obeys_no_mark() -> None:
    said = markdown_prose("a_b *c* [x](http://y) <b> @you #1 www.x.y | $z$ `q`")
    assert said == r"a\_b \*c\* \[x\](http&#58;//y) &lt;b&gt; &#64;⁠you &#35;⁠1 www⁠.x.y &#124; &#36;⁠z&#36; \`q\`"


@pytest.mark.parametrize("text", ["- x", "+ x", "1. x", "12) x", "---", "===", "    code", "\tcode", "- [ ] x", "> q", "# h", "1.", "-"])
@pytest.mark.parametrize("before", ["", "- ", "> ", "> words\n> "])
def test_prose_begins_no_block(text: str, before: str) -> None:
    page = cmarkgfm.github_flavored_markdown_to_html(before + markdown_prose(text))
    expected = {"- ": {"ul", "li"}, "": {"p"}}.get(before, {"blockquote", "p"})
    assert set(re.findall(r"<(\w+)", page)) <= expected


def test_prose_names_nothing_that_gitlab_links() -> None:
    assert all(f"{sign}\u2060bug" in html_text.unescape(markdown_prose(f"{sign}bug")) for sign in "~$%&@#!")
    assert markdown_prose("95 % of 0.5") == "95 % of 0.5"


@pytest.mark.parametrize(("text", "safe"), [("=1+1", "'=1+1"), ("-2", "-2"), ("@x", "'@x"), ("plain", "plain"), ("+1e3", "+1e3")])
def test_a_cell_is_no_formula(text: str, safe: str) -> None:
    assert guarded(text) == safe


def test_a_terminal_obeys_no_control() -> None:
    assert harmless("\x1b[31m\u202e") == "\\u001b[31m\\u202e"


def test_the_command_writes_both_reports_and_pictures(run: Run, evalkit: Command) -> None:
    done = evalkit("report", run.folder, "--figures")
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.splitlines()]
    assert {path.name for path in written[:2]} == {"report.html", "report.md"}
    assert all(path.exists() for path in written)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[2:])
    assert len(written) > 3


def test_a_folder_that_is_no_run_or_is_not_scored_is_said(tmp_path: Path, evalkit: Command, run: Run) -> None:
    done = evalkit("report", tmp_path / "none")
    assert done.returncode == 2
    assert "no such results folder" in done.stderr
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/run.json").write_bytes((run.folder / "run.json").read_bytes())
    with pytest.raises(RecordError, match="has not been scored; run: evalkit score"):
        load(tmp_path / "bare")
    (tmp_path / "bare/analysis.json").write_text('{"name": 5}')
    with pytest.raises(RecordError, match="not what this version"):
        load(tmp_path / "bare")


def test_a_run_read_back_gives_its_tables(run: Run) -> None:
    responses, scores, summary = run.responses(), run.scores(), run.summary()
    assert len(responses) == run.analysis.counts.planned
    assert list(responses["top_p"].cat.categories) == ["default", "0.8"]
    assert responses["temperature"].dtype.kind == "f"
    assert responses.loc[responses["temperature"] == 0, "top_p"].isna().all()
    assert set(scores["metric"]) == {one.name for one in run.analysis.metrics}
    assert len(summary) == len(run.analysis.by_cell)
    assert run.failures().empty
    counted = run.query("SELECT temperature, count(*) AS n FROM responses GROUP BY 1 ORDER BY 1")
    assert counted["n"].tolist() == [48, 96, 96]
    with pytest.raises(RecordError, match="query: "):
        run.query("SELECT nothing FROM nowhere")
    with pytest.raises(RecordError, match="no metric 'nonsense' was measured; expected one of length_tokens"):
        run.grid("nonsense")


def test_a_run_whose_experiment_changed_after_it_was_scored_is_not_shown_with_old_numbers(tmp_path: Path) -> None:
    run = scored(tmp_path / "run", varied, {"temperature": [0.5, 1.0]})
    write_run(run.folder, run.experiment.model_copy(update={"prompts": run.experiment.prompts[:3]}))
    with pytest.raises(RecordError, match="changed after the run was scored; run: evalkit score"):
        load(run.folder)
    other = Run(run.folder, run.experiment.model_copy(update={"prompts": run.experiment.prompts[:3]}), run.analysis)
    with pytest.raises(RecordError, match="of other settings or prompts"):
        other.grid("distinct_2")


@pytest.mark.parametrize("content", [b"", b"null", b"[1]", b'{"by_cell": [1]}', b"[" * 100_000])
@pytest.mark.parametrize("name", ["analysis.json", "run.json"])
def test_a_spoiled_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    run = scored(tmp_path / "run", varied, {}, prompts=["p"], replicates=1)
    (run.folder / name).write_bytes(content)
    with pytest.raises(RecordError, match=name):
        load(run.folder)


def test_tables_that_the_disk_refuses_are_said_in_a_line(tmp_path: Path) -> None:
    run = scored(tmp_path / "run", varied, {}, prompts=["p"], replicates=1)
    with pytest.raises(RecordError, match="the tables cannot be written: No such file or directory"):
        write_tables(run.folder / "gone", score(Plan(run.experiment), read(run.folder), METRICS[:1]), ".tmp")


def test_many_long_prompts_are_cut_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_MOST_OF_PROMPTS", 600)
    prompts = [{"id": f"p{number}", "user": "y" * 1000} for number in range(2)]
    run = scored(tmp_path / "run", varied, {}, prompts=["p"], replicates=1)
    longer = Run(run.folder, check(run.experiment.resolved() | {"prompts": prompts}), run.analysis)
    monkeypatch.setattr(html, "sample", lambda _: answers.Sample({}, 0, ""))
    monkeypatch.setattr(html.figures, "curves", lambda _: [])
    for name in ("natural_length", "tradeoff"):
        monkeypatch.setattr(html.figures, name, lambda _: None)
    shown = [one["messages"][0][1] for one in data_of(html.page(longer))["prompts"]]
    assert shown == ["y" * 300 + " … 700 more characters"] * 2
