"""Draw docs/report.png, the picture of the README, from a report: ``python docs/screenshots.py results/quickstart``.

Needs chromium and its driver, and selenium (the extra ``test``).
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

COLUMNS = (("decision", "read"), ("explore", "maps", "pareto"))
WIDTH, HEIGHT, SCALE, GAP = 980, 1290, 0.62, 18


def main(run: Path) -> None:
    """The decision and the answers on the left, the pictures on the right."""
    from PIL import Image

    picture = Path(__file__).parent / "report.png"
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile), WIDTH, HEIGHT) as browser:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False})
        browser.get((run / "report.html").resolve().as_uri())
        columns = [[_part(browser, name) for name in names] for names in COLUMNS]
    whole = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT), "white")
    for place, parts in enumerate(columns):
        top = 0
        for part in parts:
            whole.paste(part, (place * (WIDTH + GAP), top))
            top += part.height
    whole = whole.resize((int(whole.width * SCALE), int(whole.height * SCALE)), Image.Resampling.LANCZOS)
    whole.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    sys.stdout.write(f"{picture}\n")


def _part(browser: Any, name: str) -> Any:
    from PIL import Image

    box = browser.execute_script(
        "const box = document.getElementById(arguments[0]).getBoundingClientRect();"
        "return {x: 0, y: box.top + scrollY, width: innerWidth, height: box.height, scale: 1}",
        name,
    )
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": box, "captureBeyondViewport": True, "format": "png"})
    return Image.open(io.BytesIO(base64.b64decode(shot["data"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
