"""A real headless Chromium, as Debian's packages chromium and chromium-driver bring it; axe-core, as npm brings it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.process import ROOT

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-prefers-reduced-motion"),
)


def missing(what: str) -> None:
    """Skip, saying what is missing; where CI runs nothing may be."""
    if os.environ.get("CI"):
        pytest.fail(f"CI skips nothing, and {what}")
    pytest.skip(what)


def axe() -> str:
    """The text of axe-core: from AXE_CORE, or from node_modules beside the project."""
    places = [os.environ.get("AXE_CORE", ""), str(ROOT / "node_modules/axe-core/axe.min.js")]
    found = next((place for place in places if place and Path(place).is_file()), None)
    if found is None:
        missing("axe-core is not there: npm install --no-save axe-core, or name its axe.min.js in AXE_CORE")
    return Path(str(found)).read_text(encoding="utf-8")


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 900) -> Iterator[Any]:
    """A browser with an empty profile, its console and network written down."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        missing("there is no chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(binary)
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(str(driver)))
    try:
        yield browser
    finally:
        browser.quit()


def requested(browser: Any) -> list[str]:
    """The addresses that the page asked for since the last time."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
