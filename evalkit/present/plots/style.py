"""What all figures have in common: colours, labels, and how they are saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.errors import ExperimentError
from evalkit.experiment.parameters import level_text
from evalkit.metrics import CATALOGUE
from evalkit.metrics.metric import Unit
from evalkit.run import Run
from evalkit.summary.deciding import wanted
from evalkit.summary.quantities import factor, headed, is_money
from evalkit.summary.rows import currency_of
from evalkit.text.escaping import harmless

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of series, by Okabe & Ito 2008, "Color Universal Design"."""
MARKERS = ("o", "s", "^", "D", "v", "P")

FORMATS = ("png", "svg", "pdf")

BETTER = {"higher": " (↑ better)", "lower": " (↓ better)", None: ""}
"""What follows a metric's name: which way is better for variety and soundness."""

_TOLD: frozenset[Unit | None] = frozenset(("tokens", "words", "characters", "nats", "seconds"))
"""Units that stand beside a name on an axis: of the others the name says enough."""

_WIDEST = 24


class Colours(NamedTuple):
    """Colours of a page's figures: text and axes, what stands back, lines of the grid, and the ground."""

    ink: str
    muted: str
    grid: str
    paper: str


LIGHT = Colours("#1a1c1f", "#6b7178", "#d9dce0", "#ffffff")
DARK = Colours("#e8eaed", "#9aa1a9", "#3a3f45", "#16181b")


def settings(colours: Colours) -> Any:  # a dict of the settings' own literal names
    """What matplotlib is told for figures in these colours."""
    return {
        "figure.facecolor": colours.paper,
        "figure.constrained_layout.use": True,
        "axes.facecolor": "none",
        "savefig.facecolor": colours.paper,
        "axes.edgecolor": colours.muted,
        "axes.labelcolor": colours.ink,
        "axes.titlecolor": colours.ink,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.grid.axis": "y",
        "grid.color": colours.grid,
        "grid.linewidth": 0.8,
        "text.color": colours.ink,
        "text.parse_math": False,  # levels and names are texts, whatever signs they hold
        "xtick.color": colours.muted,
        "ytick.color": colours.muted,
        "xtick.labelcolor": colours.ink,
        "ytick.labelcolor": colours.ink,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "font.size": 10.0,
    }


@contextmanager
def style(dark: bool = False) -> Iterator[None]:
    """Figures made inside are in evalkit's style, light or dark."""
    with _set(settings(DARK if dark else LIGHT)):
        yield


@contextmanager
def _set(given: Any) -> Iterator[None]:
    """`given` are matplotlib's settings inside; whether figures show by themselves stays as a notebook's backend, loaded here, has it."""
    import matplotlib as mpl
    import matplotlib.pyplot

    shown = mpl.is_interactive()
    try:
        with mpl.rc_context(given):
            yield
            shown = mpl.is_interactive()
    finally:
        mpl.interactive(shown)


def subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """A new figure of that size in inches with its axes, shape (rows, columns), light unless `style` is at work."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    own = mpl.rcParams["axes.facecolor"] == "none"  # `style` is at work
    with _set(None if own else settings(LIGHT)):
        return plt.subplots(rows, columns, figsize=size, squeeze=False, **options)


def axes(ax: Axes | None, width: float = 5.0, height: float = 3.4) -> Axes:
    """`ax`, or the axes of a new figure of that size in inches, in evalkit's light style unless the user's own says otherwise."""
    if ax is not None:
        return ax
    made: Axes = subplots(1, 1, (width, height))[1][0, 0]
    return made


def ink(ax: Axes) -> str:
    """The colour of text in these axes."""
    from matplotlib.colors import to_hex

    return to_hex(ax.title.get_color())


def muted(ax: Axes) -> str:
    """The colour of what stands back in these axes."""
    from matplotlib.colors import to_hex

    return to_hex(ax.spines["left"].get_edgecolor())


def short(text: str, width: int = _WIDEST) -> str:
    """`text` as one harmless line of at most `width` characters, its beginning and its end where it is longer."""
    text = harmless(text)
    return text if len(text) <= width else f"{text[: width // 2]}…{text[len(text) - (width - 1 - width // 2) :]}"


def label_of(level: Any) -> str:
    """A level on an axis."""
    return "not applicable" if level is None else short(level_text(level) or "")


def label_metric(run: Run, metric: str) -> str:
    """The metric on an axis: its name, its unit where it has one, and which way is better: as the choice wants it, else for variety and soundness."""
    unit = CATALOGUE[metric].unit if metric in CATALOGUE else None
    named = headed(metric, currency_of(run)) if is_money(metric) else short(metric)
    return f"{named}{f' ({unit})' if unit in _TOLD else ''}{BETTER[wanted(metric, run.choice, run.analysis.metrics)]}"


def name_axis(axis: Axis, run: Run, metric: str) -> None:
    """Label an axis on which a metric's numbers stand; of money its ticks tell 1,000 answers, what is drawn stays as it was measured."""
    label = label_metric(run, metric)
    # Upright there is less room, and below a line more would run into the legend.
    axis.set_label_text(label.replace(" answers", "\nanswers") if is_money(metric) and axis is axis.axes.yaxis else label)
    if is_money(metric):
        axis.set_major_formatter(lambda value, _: f"{value * factor(metric):.4g}")


def entitle(ax: Axes, text: str) -> None:
    """The title, at the left and small, so that a sentence fits."""
    ax.set_title(text, loc="left", fontsize="small")


def legend(ax: Axes, title: str = "", *, outside: bool = False, below: float | None = None, columns: int = 1) -> None:
    """The legend of these axes where anything is named in them: inside, right of them, or so far below."""
    if not ax.get_legend_handles_labels()[0]:
        return
    place: dict[str, Any] = {}
    if outside:
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    if below is not None:
        place = {"loc": "upper left", "bbox_to_anchor": (0.0, -below)}
    ax.legend(title=short(title) if title else None, fontsize="small", title_fontsize="small", frameon=False, ncols=columns, **place)


def swept(run: Run) -> list[str]:
    """The parameters with more than one level."""
    return [name for name, levels in run.analysis.parameters.items() if len(levels) > 1]


def known(run: Run, metrics: Sequence[str] = (), parameters: Sequence[str] = ()) -> None:
    """Raise `ExperimentError` where the run lacks a metric or a parameter."""
    measured = [one.name for one in run.analysis.metrics]
    for metric in metrics:
        if metric not in measured:
            raise ExperimentError(f"{run.folder}: no metric {metric!r} was measured; expected one of {', '.join(measured)}")
    for name in parameters:
        if name not in run.analysis.parameters:
            there = ", ".join(run.analysis.parameters) or "none"
            raise ExperimentError(f"{run.folder}: no parameter {name!r} is swept; expected one of {there}")


def checked_ending(path: Path) -> Path:
    """`path`; raises `ExperimentError` where no figure can be written to a file of its ending."""
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise ExperimentError(f"{path}: found the ending {path.suffix!r}; expected one of {', '.join('.' + one for one in FORMATS)}")
    return path


def save(drawn: Axes | Figure, path: Path | str, dpi: int = 160) -> None:
    """Write a figure, or the one that axes are of, to `path`, as its ending says: png, svg or pdf.

    Raises:
        ExperimentError: the ending is none of these, or the file cannot be written.
    """
    path = checked_ending(Path(path))
    figure = drawn if hasattr(drawn, "savefig") else drawn.get_figure()
    try:
        with quiet():
            figure.savefig(path, dpi=dpi)  # type: ignore[union-attr]
    except OSError as fault:
        raise ExperimentError(f"{path}: cannot be written: {fault.strerror}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Signs that the font lacks are drawn as boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield
