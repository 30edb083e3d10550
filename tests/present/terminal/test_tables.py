"""The tables, read as they stand on a terminal: whole at any width, and showing what they are given instead of obeying it."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from evalkit.analysis.analysis import Analysis, analyse
from evalkit.experiment.experiment import check
from evalkit.metrics import named
from evalkit.plan.requests import Plan
from evalkit.present.shortlists import TERMINAL
from evalkit.present.terminal.tables import by_cell, by_level
from evalkit.scoring.grids import Score
from evalkit.scoring.scores import Scores
from evalkit.text.escaping import harmless

NAN = math.nan
NAMES = list(TERMINAL)
WIDTHS = [40, 60, 80, 100, 120, 200]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

SMALL: dict[str, Any] = {"temperature": [0, 1.0], "top_p": ["default", 0.9]}
LARGE: dict[str, Any] = SMALL | {"frequency_penalty": [0, 1.5], "presence_penalty": [0, 1], "max_tokens": [60, 20000]}
MODELS: dict[str, Any] = {
    "model": ["vendor/a-model-7b-instruct-v0.2", "vendor/a-model-7b-instruct-v0.3", "b"],
    "stop": ["\n\n", ["\n", "END"], "x" * 3000],
}
MANY: dict[str, Any] = {f"a_rather_long_parameter_name_{number}": [number, "a rather long level"] for number in range(5)}
SHAPES = {"small": SMALL, "large": LARGE, "models": MODELS, "many": MANY, "nothing swept": {"temperature": [0.5]}, "no parameter": {}}


def analysis(parameters: dict[str, Any], values: dict[str, Sequence[float]] | None = None, prompts: int = 3) -> Analysis:
    """An analysis of made-up scores; `values` gives those of some metrics, one a cell, alike on all prompts."""
    data = {
        "name": "synthetic",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
        "prompts": [{"id": f"[bold]{number}", "user": "say"} for number in range(prompts)],
        "replicates": 2,
    }
    experiment = check(data)
    plan = Plan(experiment.model_copy(update={"parameters": {name: tuple(levels) for name, levels in parameters.items()}}))
    rng = np.random.default_rng(11)
    shape = (len(plan.cells), prompts)
    by_metric = {}
    for name in NAMES:
        given = (values or {}).get(name)
        value = (
            rng.random(shape) * (900 if name.startswith("length") else 1)
            if given is None
            else np.tile(np.array(given, dtype=float)[:, None], prompts)
        )
        full = np.full(shape, 2)
        by_metric[name] = Score(value, value, full, full)
    return analyse(
        Scores(plan=plan, by_metric=by_metric, tokenizer="words", k=2, groups_left_out=0, completions=int(2 * np.prod(shape)), metrics=named(NAMES))
    )


@cache
def of_shape(shape: str) -> Analysis:
    return analysis(SHAPES[shape])


def rendered(what: Any, found: Analysis, width: int = 120, terminal: bool = False, encoding: str = "utf-8") -> str:
    """What stands on a terminal, colours left out."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None, highlight=False)
    part: RenderableType | None = what(found, console)
    if part is not None:
        console.print(part)
    file.flush()
    text = file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    return COLOUR.sub("", text) if terminal else text


def both(found: Analysis, width: int = 120, **more: Any) -> str:
    return rendered(by_cell, found, width, **more) + rendered(by_level, found, width, **more)


def body(text: str) -> list[str]:
    """The rows of the first table."""
    lines = text.split("\n")
    rule = next(number for number, line in enumerate(lines) if re.fullmatch(r"[─]+", line))
    rows = []
    for line in lines[rule + 1 :]:
        if not line or line.startswith(("▲", "- undefined", "—", "·", "±", "No intervals", "Not shown")) or re.match(r"\d+ more settings", line):
            break
        rows.append(line)
    return rows


def column(found: Analysis, metric: str) -> list[str]:
    """What the table by cell shows of one metric, a row a cell."""
    only = [one for one in found.metrics if one.name == metric]
    text = rendered(by_cell, Analysis(**{name: getattr(found, name) for name in found.__struct_fields__} | {"metrics": only}))
    return [row.split()[-1] for row in body(text)]


# Whole at any width


@pytest.mark.parametrize(("width", "terminal"), [*((width, False) for width in WIDTHS), (40, True), (120, True)])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_line_is_wider_than_the_console(shape: str, width: int, terminal: bool) -> None:
    for line in both(of_shape(shape), width, terminal=terminal).split("\n"):
        assert cell_len(line) <= width, line


def figures(found: Analysis, index: int, names: Sequence[str]) -> list[str]:
    means = {row.metric: row.mean for row in found.by_cell if row.cell_index == index}
    return [f"{means[name]:.1f}" if name.startswith("length") else f"{means[name]:.3f}" for name in names]


@pytest.mark.parametrize("width", WIDTHS[1:])
@pytest.mark.parametrize("shape", ["small", "large", "models", "nothing swept"])
def test_every_cell_is_one_whole_line(shape: str, width: int) -> None:
    found = of_shape(shape)
    text = rendered(by_cell, found, width)
    assert "…" not in text
    dropped = " ".join(text.split()).partition("Not shown, as the window is too narrow: ")[2].rstrip(".").split(", ")
    kept = [name for name in NAMES if name not in dropped]
    rows = body(text)
    assert len(rows) == len(found.cells)
    for index, row in enumerate(rows):
        assert re.sub("[▲▼]", "", row).split()[-len(kept) :] == figures(found, index, kept), row
    assert kept == NAMES or width < 120


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", ["small", "large", "models", "many"])
def test_the_levels_show_every_metric_in_as_many_tables_as_it_takes(shape: str, width: int) -> None:
    found = of_shape(shape)
    text = rendered(by_level, found, width)
    assert "…" not in text
    assert re.search("^(temp|model|a_ra)", text, re.MULTILINE)
    shown = re.findall(r"(\d+\.\d+) +±(\d*\.\d+)", text)
    expected = [(f"{row.mean:.1f}" if row.metric.startswith("length") else f"{row.mean:.3f}") for row in found.by_level]
    assert sorted(mean for mean, _ in shown) == sorted(expected)


def test_a_half_interval_stands_beside_its_mean() -> None:
    found = analysis({"temperature": [0.5, 1.0]})
    row = next(row for row in found.by_level if row.metric == "distinct_1" and row.level == 0.5)
    half = f"{(row.ci_high - row.ci_low) / 2:.3f}".removeprefix("0")
    assert f"{row.mean:.3f} ±{half}" in rendered(by_level, found)


def test_many_swept_parameters_stand_below_each_other_where_they_are_too_wide() -> None:
    text = rendered(by_cell, analysis(MANY), 60)
    lines = text.split("\n")
    assert lines[2].split() == ["setting", "1", "2", "rep_2", "rep_4"]
    assert lines[4:8] == [f"a_rath~ame_{number}={number}".ljust(len(lines[2])) for number in range(4)]
    assert lines[8].startswith("a_rath~ame_4=4 ")
    assert text.count("a_rath~ame_4=a rather~g level") == 16


# What is shown


def test_the_table_by_cell_is_this() -> None:
    values: dict[str, Sequence[float]] = {name: [0.1, 0.25, 0.5] for name in NAMES}
    text = rendered(by_cell, analysis(SMALL, values | {"length_words": [7, 8.25, NAN]}))
    expected = [
        "By setting: mean over 3 prompts",
        "                                                            exact truncation length length",
        "temperature top_p distinct_1 distinct_2  rep_2  rep_4  duplicates       rate tokens  words",
        "─────────────────────────────────────────────────────────────────────────────────────────",
        "          0     ·     0.100▼     0.100▼ 0.100▲ 0.100▲      0.100▲     0.100▲    0.1    7.0",
        "          1     —      0.250      0.250  0.250  0.250       0.250      0.250    0.2    8.2",
        "          1   0.9     0.500▲     0.500▲ 0.500▼ 0.500▼      0.500▼     0.500▼    0.5      -",
        "▲ best, ▼ worst setting of a metric; — left out, the server decides; · not applicable at temperature 0; - undefined.",
    ]
    assert [re.sub(" +", " ", line).strip() for line in text.rstrip().split("\n")] == [re.sub(" +", " ", line).strip() for line in expected]


def test_the_table_by_level_is_this() -> None:
    values: dict[str, Sequence[float]] = {name: [0.1, 0.25, 0.5] for name in NAMES}
    found = analysis(SMALL, values, prompts=1)
    lines = [re.sub(" +", " ", line).strip() for line in rendered(by_level, found).rstrip().split("\n")]
    assert lines[0] == "By level: mean over prompts, each over the level's settings"
    assert lines[2] == "parameter level distinct_1 distinct_2 rep_2 rep_4 duplicates rate tokens words"
    assert lines[4] == "temperature 0 0.100 0.100 0.100 0.100 0.100 0.100 0.1 0.1"
    assert lines[5] == "1 0.375 0.375 0.375 0.375 0.375 0.375 0.4 0.4"
    assert lines[7] == "top_p default 0.250 0.250 0.250 0.250 0.250 0.250 0.2 0.2"
    assert lines[8] == "0.9 0.500 0.500 0.500 0.500 0.500 0.500 0.5 0.5"
    assert lines[9] == "No intervals: they need two prompts."


LEVELS_4 = {"temperature": [0.1, 0.2, 0.3, 0.4]}


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("distinct_1", [0.1, 0.2, 0.3, 0.4], ["0.100▼", "0.200", "0.300", "0.400▲"]),
        ("rep_2", [0.1, 0.2, 0.3, 0.4], ["0.100▲", "0.200", "0.300", "0.400▼"]),
        ("truncation_rate", [0.5, 0, 0.2, 0.4], ["0.500▼", "0.000▲", "0.200", "0.400"]),
        ("length_tokens", [10, 20, 30, 40], ["10.0", "20.0", "30.0", "40.0"]),  # neither way is better
        ("length_words", [10, 20, 30, 40], ["10.0", "20.0", "30.0", "40.0"]),
        ("distinct_1", [0.3, 0.3, 0.3, 0.3], ["0.300"] * 4),
        ("distinct_1", [0.3, 0.3, 0.3, 0.4], ["0.300", "0.300", "0.300", "0.400▲"]),  # three worst of four tell nothing
        ("distinct_1", [0.3, NAN, NAN, NAN], ["0.300", "-", "-", "-"]),
        ("distinct_1", [NAN, 0.3, 0.4, NAN], ["-", "0.300▼", "0.400▲", "-"]),
        ("distinct_1", [NAN] * 4, ["-"] * 4),
        ("rep_2", [0.10001, 0.10002, 0.2, 0.3], ["0.100", "0.100", "0.200", "0.300▼"]),  # what looks alike is marked alike
        ("rep_2", [0.10001, 0.10002, 0.10003, 0.10004], ["0.100"] * 4),
    ],
)
def test_best_and_worst_are_marked_by_the_metrics_direction(metric: str, values: list[float], expected: list[str]) -> None:
    assert column(analysis(LEVELS_4, {metric: values}), metric) == expected


def test_a_quarter_of_the_cells_may_tie() -> None:
    values = [0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert column(analysis({"temperature": [number / 10 for number in range(1, 9)]}, {"rep_2": values}), "rep_2")[:3] == ["0.100▲", "0.100▲", "0.200"]


def test_nothing_is_explained_that_is_not_there() -> None:
    same: dict[str, Sequence[float]] = {name: [0.5, 0.5] for name in NAMES}
    text = rendered(by_cell, analysis({"temperature": [0.5, 1.0]}, same))
    assert "best" not in text
    assert "left out" not in text
    assert "not applicable" not in text
    assert "undefined" not in text


def test_one_cell_is_shown_without_marks_and_without_levels() -> None:
    for parameters in ({}, {"temperature": [0.5]}):
        found = analysis(parameters)
        assert not set("▲▼") & set(rendered(by_cell, found))
        assert len(body(rendered(by_cell, found))) == 1
        assert rendered(by_level, found) == ""


def test_undefined_is_a_dash_never_a_number() -> None:
    text = both(analysis(SMALL, {name: [NAN] * 3 for name in NAMES}))
    assert "nan" not in text.lower()
    assert body(rendered(by_cell, analysis(SMALL, {name: [NAN] * 3 for name in NAMES})))[0].split()[2:] == ["-"] * len(NAMES)


def test_what_one_replicate_leaves_undefined_is_explained() -> None:
    found = analysis(SMALL, {"distinct_1": [NAN] * 3})
    assert "- undefined." in rendered(by_cell, found, 200)
    counts = type(found.counts)(**{name: getattr(found.counts, name) for name in found.counts.__struct_fields__} | {"k": 0})
    found = Analysis(**{name: getattr(found, name) for name in found.__struct_fields__} | {"counts": counts})
    assert "- undefined: metrics over replicates need two answers to a prompt." in rendered(by_cell, found, 200)


def test_a_swept_max_tokens_comes_with_a_warning() -> None:
    assert "distinct_1, distinct_2, rep_2, rep_4 move with the length" in rendered(by_level, analysis({"max_tokens": [60, 200]}), 200)
    assert "move with the length" not in rendered(by_level, analysis(SMALL), 200)


# Many cells


def test_of_more_than_64_cells_those_that_stand_out_are_shown() -> None:
    found = analysis({"temperature": [number / 50 for number in range(100)]})
    text = rendered(by_cell, found, 200)
    rows = body(text)
    marked = sum(row.count("▲") + row.count("▼") for row in rows)
    assert marked == 12  # six metrics have a direction
    assert all("▲" in row or "▼" in row for row in rows)
    assert f"{100 - len(rows)} more settings are in summary.csv." in text
    assert len(body(rendered(by_cell, analysis({"temperature": [number / 50 for number in range(64)]}), 200))) == 64


def test_of_many_cells_alike_the_first_are_shown() -> None:
    values: dict[str, Sequence[float]] = {name: [0.5] * 100 for name in NAMES}
    text = rendered(by_cell, analysis({"temperature": [number / 50 for number in range(100)]}, values), 200)
    assert len(body(text)) == 64
    assert "36 more settings are in summary.csv." in text


def test_many_ties_do_not_fill_the_screen() -> None:
    values: dict[str, Sequence[float]] = {name: [0.0] * 60 + [1.0] * 60 + [0.5] * 280 for name in NAMES}
    text = rendered(by_cell, analysis({"temperature": [number / 200 for number in range(400)]}, values), 200)
    assert len(body(text)) == 64


# Shown, not obeyed

HOSTILE = {
    "markup": ("[red]x[/]", "[red]x[/]"),
    "a link": ("[link=http://x]y", "[link=http://x]y"),
    "an emoji code": (":smile:", ":smile:"),
    "colour": ("\x1b[31mred", "\\u001b[31mred"),
    "a title": ("\x1b]0;t\x07", "\\u001b]0;t\\u0007"),
    "a bell": ("\x07", "\\u0007"),
    "backspaces": ("ab\x08\x08", "ab\\u0008\\u0008"),
    "a carriage return": ("a\rb", "a\\u000db"),
    "a line end": ("a\nb", "a\\u000ab"),
    "a tab": ("a\tb", "a\\u0009b"),
    "C1 control": ("\x9b31m", "\\u009b31m"),
    "NUL": ("a\x00b", "a\\u0000b"),
    "bidi override": ("a\u202eb", "a\\u202eb"),
    "bidi isolate": ("a\u2066b", "a\\u2066b"),
    "a line separator": ("a\u2028b", "a\\u2028b"),
    "zero width": ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
    "white space": (" \n", "' \\n'"),
    "wide": ("天" * 20, "天天天天~天天天"),
}


@pytest.mark.parametrize(("name", "terminal"), [("model", True), ("stop", False)])
@pytest.mark.parametrize("which", HOSTILE)
def test_a_level_is_shown_and_not_obeyed(which: str, name: str, terminal: bool) -> None:
    level, expected = HOSTILE[which]
    found = analysis({name: [level, "other"]})
    for what in (by_cell, by_level):
        text = rendered(what, found, terminal=terminal)
        assert expected in text
        assert {char for char in text if not char.isprintable()} == {"\n"}
        rows = body(text)
        assert len(rows) == 2
        assert cell_len(rows[0]) == cell_len(rows[1])


def test_a_parameters_name_is_shown_and_not_obeyed() -> None:
    found = analysis({"[red]x[/]": [1, 2], "a\x1b[31m\nb": [1, 2]})
    for text in (rendered(by_cell, found), rendered(by_level, found)):
        assert "[red]x[/]" in text
        assert "a\\u001b[31m\\u000ab" in text
        assert "\x1b" not in text


def test_a_lone_surrogate_is_shown_as_its_code() -> None:
    assert harmless("a\ud800b") == "a\\ud800b"


@given(st.text(max_size=30))
def test_harmless_text_is_printable_and_printable_text_stays(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()
    assert harmless(text, "ascii").isascii()


@settings(max_examples=50)
@given(st.lists(st.text(max_size=40), min_size=2, max_size=5, unique=True), st.sampled_from([40, 80]))
def test_levels_that_differ_look_different(levels: list[str], width: int) -> None:
    found = analysis({"stop": levels})
    text = rendered(by_level, found, width)
    start = next(number for number, line in enumerate(text.split("\n")) if line.startswith("───"))
    rows = text.split("\n")[start + 1 : start + 1 + len(levels)]
    shown = [re.sub(r" +\d+\.\d+ +±.*", "", row.removeprefix("stop").strip()) for row in rows]
    assert len(set(shown)) == len(levels), rows
    assert all(cell_len(line) <= width for line in text.split("\n"))


def test_long_levels_with_the_same_ends_are_numbered() -> None:
    text = rendered(by_level, analysis({"stop": ["a" * 30 + "1" + "b" * 30, "a" * 30 + "2" + "b" * 30, "c"]}))
    assert "aaaaaa~bbbbb#1" in text
    assert "aaaaaa~bbbbb#2" in text


# Terminals that know ASCII only


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_without_unicode_gets_what_it_can_show(encoding: str, width: int) -> None:
    found = analysis(SMALL | {"model": ["modèle-天气", "b"]}, {"rep_2": [NAN, 0.1, 0.2, 0.3, 0.4, 0.5]})
    text = both(found, width, encoding=encoding)  # anything else would raise
    assert text.isascii() or encoding != "ascii"
    assert not set("▲▼—·±─") & set(text)
    assert "* best, ! worst" in text
    assert all(cell_len(line) <= width for line in text.split("\n"))
    assert re.search(r"\+- half", text)
