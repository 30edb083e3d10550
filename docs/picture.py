"""Draw docs/quickstart.svg from the results of the quickstart: ``python docs/picture.py`` in the repository, after a sweep."""

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from evalkit.present.terminal.tables import by_level
from evalkit.run import load

analysis = load("results/quickstart").analysis
console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False)
console.print("$ python -m evalkit sweep experiments/quickstart.yaml\n", style="bold")
console.print(by_level(analysis, console))
svg = console.export_svg(title="evalkit", theme=MONOKAI)
# A picture fetches nothing: the fonts are those of whoever looks at it.
svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
Path("docs/quickstart.svg").write_text(svg, encoding="utf-8")
