"""A run's documents, written into its folder."""

from __future__ import annotations

import re
from pathlib import Path

from evalkit.run import Run
from evalkit.store.folder import make_inside, replace


def report(run: Run, *, figures: bool = False) -> list[Path]:
    """Write ``report.html`` and ``report.md`` into the run's folder; the paths.

    Args:
        figures: put PNG files into its ``figures`` and show them in ``report.md``.

    Raises:
        RecordError: the run's records cannot be read, or the report cannot be written.
    """
    from evalkit.present.html.report import page  # jinja2 and matplotlib, which a sweep needs not
    from evalkit.present.markdown.report import document  # as above

    shown = _pictures(run) if figures else {}
    texts = {"report.html": page(run), "report.md": document(run, shown)}
    for name, text in texts.items():
        replace(run.folder / name, text.encode("utf-8", "replace"))
    return [*(run.folder / name for name in texts), *(run.folder / path for path in shown.values())]


def _pictures(run: Run) -> dict[str, str]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from evalkit.present import plots  # matplotlib
    from evalkit.present.html.figures import pictures  # as above

    place = run.folder / "figures"
    make_inside(place)
    mpl.use("agg", force=False)
    out = {}
    for number, (title, draw) in enumerate(pictures(run).items()):
        name = f"{number}-{re.sub('[^A-Za-z0-9_-]', '_', title)[:60]}.png"
        with plots.style():
            plots.save(draw(), place / name)
        plt.close("all")
        out[title] = f"figures/{name}"
    return out
