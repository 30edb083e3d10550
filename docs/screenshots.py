"""Draw docs/report.png, the picture of the README, from a run: ``python docs/screenshots.py results/quickstart``.

The first screen of a terminal on the left, that of the page on the right. Needs chromium and its driver, and selenium (the extra ``test``).
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.browser import chromium

WIDTH, HEIGHT, GAP, COLUMNS = 1280, 800, 16, 80


def main(run: Path) -> None:
    """Both screens, at one height."""
    from PIL import Image

    picture = Path(__file__).parent / "report.png"
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder), WIDTH, HEIGHT) as browser:
        terminal = Path(folder) / "terminal.svg"
        terminal.write_text(_terminal(run), encoding="utf-8")
        browser.get(terminal.as_uri())
        box = browser.execute_script("const box = document.documentElement.viewBox.baseVal; return [box.width, box.height]")
        shots = [_shot(browser, *map(round, box))]
        browser.get((run / "report.html").resolve().as_uri())
        shots.append(_shot(browser, WIDTH, HEIGHT))
    height = 520
    scaled = [one.resize((round(one.width * height / one.height), height), Image.Resampling.LANCZOS) for one in shots]
    whole = Image.new("RGB", (sum(one.width for one in scaled) + GAP, height), "white")
    whole.paste(scaled[0], (0, 0))
    whole.paste(scaled[1], (scaled[0].width + GAP, 0))
    whole.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    sys.stdout.write(f"{picture}\n")


def _terminal(run: Path) -> str:
    """What ``evalkit show`` prints, as SVG."""
    from rich.console import Console

    from evalkit.present.terminal.screen import screen
    from evalkit.run import load
    from evalkit.summary import summarise

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(screen(summarise(load(run)), console))
    return console.export_svg(title=f"evalkit sweep experiments/{run.name}.yaml")


def _shot(browser: Any, width: int, height: int) -> Any:
    from PIL import Image

    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True, "format": "png"})
    return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
