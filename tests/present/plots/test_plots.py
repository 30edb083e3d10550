"""What stands in each figure: marks, labels, intervals; on ordinary and on extreme runs, light and dark; and the command that draws one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from support.comparing import repetitive, varied
from support.comparing import run as recorded
from support.records import completion

import evalkit as ek
from evalkit.comparison.verdict import in_words
from evalkit.plan.requests import Request
from evalkit.present import plots

GRID: dict[str, Any] = {"temperature": [0.5, 1.0, 1.5], "top_p": ["default", 0.9], "max_tokens": [50, 100]}
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def made(folder: Path, answer: Any = varied, parameters: dict[str, Any] | None = None, prompts: Any = None, metrics: Any = (), **more: Any) -> ek.Run:
    given = {} if prompts is None else {"prompts": prompts}
    return ek.rescore(recorded(folder, answer, GRID if parameters is None else parameters, **given, **more), metrics=metrics)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ek.Run:
    wanted = {"require": {"truncation_rate": {"max": 0.5, "by": "mean"}}, "prefer": {"distinct_2": {"goal": "maximize"}}}
    return made(tmp_path_factory.mktemp("run") / "run", choose=wanted)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ek.Run:
    return made(tmp_path_factory.mktemp("run") / "other", repetitive)


def of_run(run: ek.Run, metric: str = "length_words") -> dict[str, Callable[..., Axes]]:
    """Every figure of one run that takes `ax`, of its first two parameters."""
    x, *rest = list(run.analysis.parameters)
    found: dict[str, Callable[..., Axes]] = {
        "main_effects": partial(plots.main_effects, run, metric, x),
        "distribution": partial(plots.distribution, run, metric, x),
        "pareto": partial(plots.pareto, run),
        "parallel": partial(plots.parallel, run),
        "survival": partial(plots.survival, run),
        "latency": partial(plots.latency, run),
        "drift": partial(plots.drift, run),
    }
    if rest:
        found["interaction"] = partial(plots.interaction, run, metric, x, rest[0])
        found["heatmap"] = partial(plots.heatmap, run, metric, x, rest[0])
    return found


def drawn(figure: Axes | Figure, tmp_path: Path) -> None:
    """Drawn to a file, which is when what is wrong with a figure comes up."""
    plots.save(figure, tmp_path / "figure.png", dpi=50)
    assert (tmp_path / "figure.png").stat().st_size > 1000


def ends(ax: Axes) -> np.ndarray:
    """Ends of all bars of intervals, shape (bars, 2)."""
    bars = [segment[:, 1] for one in ax.collections if hasattr(one, "get_segments") for segment in one.get_segments() if len(segment) == 2]
    return np.array(bars).reshape(-1, 2)


def words(ax: Axes) -> str:
    legend = ax.get_legend()
    return " ".join([ax.get_title("left"), ax.get_xlabel(), ax.get_ylabel(), *(one.get_text() for one in (legend.texts if legend else []))])


KINDS = ("main_effects", "distribution", "pareto", "parallel", "survival", "latency", "drift", "interaction", "heatmap")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_figure_draws_into_the_axes_given_and_tells_what_it_shows(run: ek.Run, kind: str, dark: bool, tmp_path: Path) -> None:
    with plots.style(dark=dark):
        ax = plt.subplots()[1]
        assert of_run(run)[kind](ax=ax) is ax
        assert ax.get_title("left")
        if kind != "parallel":
            assert ax.get_xlabel()
            assert ax.get_ylabel()
        drawn(ax, tmp_path)
        ground = mpl.colors.to_rgb(ax.figure.get_facecolor())
    assert (sum(ground) < 1) is dark


def test_a_figure_without_style_is_light_and_leaves_the_users_settings(run: ek.Run) -> None:
    before = dict(mpl.rcParams)
    ax = plots.main_effects(run, "distinct_2", "temperature")
    figure = plots.all_main_effects(run, "distinct_2")
    assert mpl.colors.to_hex(ax.figure.get_facecolor()) == mpl.colors.to_hex(figure.get_facecolor()) == "#ffffff"
    assert not ax.spines["top"].get_visible()
    assert dict(mpl.rcParams) == before


def test_what_a_backend_sets_as_it_is_loaded_stays(run: ek.Run) -> None:
    mpl.interactive(True)
    try:
        plots.main_effects(run, "distinct_2", "temperature")
        plots.main_effects(run, "distinct_2", "temperature")
        assert mpl.is_interactive()
    finally:
        mpl.interactive(False)


def test_main_effects_are_the_means_of_the_analysis_with_their_intervals(run: ek.Run) -> None:
    rows = [row for row in run.analysis.by_level if row.metric == "distinct_2" and row.parameter == "temperature"]
    ax = plots.main_effects(run, "distinct_2", "temperature")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [row.mean for row in rows])
    np.testing.assert_allclose(np.sort(ends(ax)), [[row.ci_low, row.ci_high] for row in rows])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.5", "1", "1.5"]
    assert "95 % intervals" in words(ax)
    assert "better" in ax.get_ylabel()


def test_all_main_effects_share_one_scale(run: ek.Run, tmp_path: Path) -> None:
    figure = plots.all_main_effects(run, "distinct_2")
    assert [ax.get_xlabel() for ax in figure.axes] == list(GRID)
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    drawn(figure, tmp_path)


@pytest.mark.parametrize("parameters", [["temperature"], ["temperature", "top_p"]])
def test_the_title_of_effects_ends_inside_the_figure(run: ek.Run, parameters: list[str]) -> None:
    figure = plots.all_main_effects(run, "truncation_rate", parameters)
    figure.canvas.draw()
    (title,) = figure.texts
    assert " ".join(title.get_text().split()) == "truncation_rate: means, 95 % intervals over prompts"
    assert 0 <= title.get_window_extent().x0 < title.get_window_extent().x1 <= figure.bbox.x1


def test_an_interaction_has_a_line_a_level_each_point_with_its_interval(run: ek.Run) -> None:
    ax = plots.interaction(run, "distinct_2", "temperature", "top_p")
    assert len(ends(ax)) == 6
    legend = ax.get_legend()
    assert legend is not None
    assert [one.get_text() for one in legend.texts] == ["default", "0.9"]
    assert legend.get_title().get_text() == "top_p"


def test_a_heatmap_says_each_mean_and_its_interval(run: ek.Run) -> None:
    ax = plots.heatmap(run, "distinct_2", "temperature", "top_p")
    tiles = [one.get_text() for one in ax.texts]
    assert len(tiles) == 6
    assert all("±" in tile for tile in tiles)
    assert np.asarray(ax.images[0].get_array()).shape == (2, 3)


def test_a_distribution_has_a_point_a_prompt_and_cell(run: ek.Run) -> None:
    ax = plots.distribution(run, "distinct_2", "temperature")
    points = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == ".")
    assert points == np.count_nonzero(~np.isnan(run.grid("distinct_2")))
    assert len(ends(ax)) == 3


def test_the_pareto_picture_marks_reference_and_recommendation(run: ek.Run) -> None:
    ax = plots.pareto(run, "truncation_rate", "distinct_2")
    assert {"the reference", "recommended", "no other beats these in both"} <= set(ax.get_legend_handles_labels()[1])
    with pytest.raises(ek.ExperimentError, match="neither higher nor lower"):
        plots.pareto(run, "length_words")


def test_survival_falls_and_has_bands(run: ek.Run) -> None:
    ax = plots.survival(run, "temperature")
    for line in ax.lines:
        assert (np.diff(np.asarray(line.get_ydata())) <= 0).all()
    assert len(ax.collections) == len(ax.lines) == 3
    assert "cut off" in words(ax)


def test_the_parallel_picture_names_every_axis_and_the_bold_line(run: ek.Run) -> None:
    ax = plots.parallel(run, ["distinct_2", "truncation_rate"])
    ticks = [tick.get_text().split("\n")[0] for tick in ax.get_xticklabels()]
    assert ticks == [*GRID, "distinct_2", "truncation_rate"]
    assert {"recommended", "its 95 % interval"} <= set(ax.get_legend_handles_labels()[1])


def test_replicates_mark_this_run_and_the_margin(run: ek.Run, tmp_path: Path) -> None:
    for metric in ("distinct_2", "mattr_50"):
        ax = plots.replicates(run, metric, ax=plt.subplots()[1])
        labels = ax.get_legend_handles_labels()[1]
        assert "this run" in labels
        assert any(label.startswith("margin") for label in labels)
        drawn(ax, tmp_path)


def test_a_metric_on_request_has_its_unit_on_the_axis_and_can_be_planned_with(tmp_path: Path) -> None:
    found = made(tmp_path / "run", metrics=("default", "entropy_1", "edit_distance_tokens"))
    assert plots.all_main_effects(found, "entropy_1").axes[0].get_ylabel().startswith("entropy_1 (nats)")
    assert plots.all_main_effects(found, "edit_distance_tokens").axes[0].get_ylabel().startswith("edit_distance_tokens (↑")  # a share, of tokens
    assert any("this run" in label for label in plots.replicates(found, "entropy_1").get_legend_handles_labels()[1])


def test_a_forest_has_every_metric_with_its_verdict_by_colour_and_marker(run: ek.Run, other: ek.Run, tmp_path: Path) -> None:
    found = ek.compare(run, other)
    given = plt.subplots()[1]
    ax = plots.compare(found, ax=given)
    assert ax is given
    shown = [one for one in found.metrics if one.margin > 0 and not np.isnan(one.difference)]
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert len(names) == len(shown) > 10
    assert all(any(one.metric in name for name in names) for one in shown)
    verdicts = {one.verdict for one in shown}
    assert "worse" in verdicts
    labels = ax.get_legend_handles_labels()[1]
    assert all(any(label.startswith(in_words(verdict)) for label in labels) for verdict in verdicts)
    looks = {(look[0], look[1]) for verdict, look in plots.comparing.LOOKS.items()}
    assert len({look[0] for look in looks}) == len({look[1] for look in looks}) == len(plots.comparing.LOOKS)
    low, high = ax.get_xlim()
    assert all(low <= value <= high for line in ax.lines[1:] for value in np.asarray(line.get_xdata(), dtype=float) if line.get_xdata() is not None)
    assert "lower in the candidate" in ax.get_xlabel()
    drawn(ax, tmp_path)


def test_a_forest_of_a_run_against_itself_lies_on_zero(run: ek.Run, tmp_path: Path) -> None:
    ax = plots.compare(ek.compare(run, run))
    drawn(ax, tmp_path)
    assert "worse" not in ax.get_legend_handles_labels()[1]


def empty(_: Request) -> Any:
    return completion("")


LEVELS = [round(at / 100, 2) for at in range(1, 201)]


WIDE: dict[str, Any] = {
    "prompts": ["p0", "p1"],
    "replicates": 1,
    "design": "one_at_a_time",
    "metrics": ["distinct_2", "truncation_rate", "length_words"],
}
EXTREME: dict[str, dict[str, Any]] = {
    "one cell": {"parameters": {"temperature": [1.0]}},
    "nothing is swept": {"parameters": {}},
    "one prompt": {"prompts": ["p0"], "replicates": 2},
    "one answer": {"parameters": {"temperature": [1.0]}, "prompts": ["p0"], "replicates": 1},
    "no text": {"answer": empty},
    "200 levels": {"parameters": {"temperature": LEVELS, "top_p": [0.5, 0.9]}, **WIDE},
    "64 levels across": {"parameters": {"top_p": [0.5, 0.9], "temperature": LEVELS[:64]}, **WIDE},  # past every limit of what is marked or named
    "names": {
        "parameters": {"user": ["$x^2$ $", "\x1b[31mred\x07", "<b>&amp;</b>", "l" * 300, "%s {0} \\frac"], "temperature": [0.5, 1.0]},
        "prompts": ["$p$", "q" * 60],
    },
}


@pytest.mark.parametrize("case", EXTREME)
def test_extreme_runs_are_drawn(case: str, tmp_path: Path) -> None:
    found = made(tmp_path / "run", **EXTREME[case])
    if not found.analysis.parameters:
        for figure in (plots.pareto, plots.parallel, plots.survival, plots.latency, plots.drift):
            drawn(figure(found), tmp_path)
        drawn(plots.all_main_effects(found, "distinct_2"), tmp_path)
        return
    for figure in of_run(found).values():
        drawn(figure(), tmp_path)
        plt.close("all")
    drawn(plots.all_main_effects(found, "distinct_2"), tmp_path)


def test_what_is_not_there_is_told(run: ek.Run) -> None:
    with pytest.raises(ek.ExperimentError, match=r"no metric 'distinct_9'.*expected one of"):
        plots.main_effects(run, "distinct_9", "temperature")
    with pytest.raises(ek.ExperimentError, match=r"no parameter 'heat'.*temperature"):
        plots.heatmap(run, "distinct_2", "heat", "top_p")
    with pytest.raises(ek.ExperimentError, match="twice"):
        plots.interaction(run, "distinct_2", "top_p", "top_p")
    with pytest.raises(ek.ExperimentError, match="no number 'text'"):
        plots.drift(run, "text")


@pytest.mark.parametrize(("ending", "sign"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_command_draws_by_the_ending(evalkit: Command, run: ek.Run, tmp_path: Path, ending: str, sign: bytes) -> None:
    path = tmp_path / f"figure.{ending}"
    options = ("--metric", "distinct_2", "--x", "temperature", "--y", "top_p", "-o", path)
    done = evalkit("plot", run.folder, "heatmap", *options, *(["--dark"] if ending == "svg" else []))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path)
    assert path.read_bytes().startswith(sign)
    if ending == "svg":
        assert "#16181b" in path.read_text(encoding="utf-8")


def test_the_command_knows_every_figure(run: ek.Run, other: ek.Run, capsys: pytest.CaptureFixture[str]) -> None:
    from evalkit.cli import app
    from evalkit.cli.plotting import KINDS

    assert set(KINDS) == set(plots.__all__) - {"save", "style"}
    for kind in KINDS:
        arguments = ["plot", str(run.folder), kind, *(["--candidate", str(other.folder)] if kind == "compare" else [])]
        assert not app(arguments, standalone_mode=False)
        assert (run.folder / "figures" / f"{kind}.png").exists()
    assert capsys.readouterr().out.count(".png") == len(KINDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scatter"], "expected one of main_effects"),
        (["heatmap", "--metric", "distinct_9"], "no metric 'distinct_9'"),
        (["main_effects", "--parameter", "heat"], "no parameter 'heat'"),
        (["heatmap", "--parameter", "top_p"], "--parameter: heatmap does not take it; it takes --metric, --x, --y"),
        (["heatmap", "-o", "figure.gif"], "expected one of .png"),
        (["compare"], "--candidate"),
        (["heatmap", "-o", "nowhere/figure.png"], "cannot be written"),
    ],
)
def test_what_the_command_cannot_draw_is_one_clear_error(evalkit: Command, run: ek.Run, arguments: list[str], said: str) -> None:
    done = evalkit("plot", run.folder, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_drawn_interval_of_a_share_leaves_0_to_1(run: ek.Run) -> None:
    shares = [one.name for one in run.analysis.metrics if (one.low, one.high) == (0, 1) and not np.isnan(run.grid(one.name)).all()]
    assert {"truncation_rate", "loop_rate", "distinct_2"} <= set(shares)
    for metric in shares:
        bars = np.concatenate([ends(plots.distribution(run, metric, "temperature")), ends(plots.interaction(run, metric, "temperature", "top_p"))])
        assert bars.min() >= -1e-9
        assert bars.max() <= 1 + 1e-9
        assert (np.ptp(bars, axis=1) > 0).all()
        plt.close("all")
