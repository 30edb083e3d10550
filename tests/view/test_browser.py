"""The app in a real browser: runs are found, followed, compared, read and rated; nothing is said in the console, and all can use it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import axe, chromium, requested
from support.process import ROOT, environment
from support.reports import PROMPTS
from support.viewing import Viewed, small

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("view")]

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    small(folder / "first")
    shutil.copytree(folder / "first", folder / "second")
    about = json.loads((folder / "second" / "run.json").read_text())
    (folder / "second" / "run.json").write_text(json.dumps(about | {"updated": "2126-01-31T12:00:00Z"}))
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def viewed(results: Path) -> Iterator[Viewed]:
    with Viewed(results) as found:
        yield found


@pytest.fixture(scope="module")
def browser(viewed: Viewed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        found.get(viewed.origin + viewed.first)
        assert found.current_url == viewed.origin + "/"  # the token is gone from the address
        yield found


@pytest.fixture
def at(browser: Any, viewed: Viewed) -> Iterator[Callable[[str], Any]]:
    """Opens a page; at the end nothing was said in the console, and nothing was asked of anybody else."""
    browser.get_log("browser")
    requested(browser)

    def opened(path: str) -> Any:
        browser.get(viewed.origin + path)
        return browser

    yield opened
    assert browser.get_log("browser") == []
    assert [one for one in requested(browser) if not one.startswith((viewed.origin, "about:", "data:"))] == []


def until(wanted: Callable[[], Any]) -> Any:
    """What comes of it as soon as something does."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if found := wanted():
                return found
        except Exception:  # noqa: S110 (the page changes under it: asked again)
            pass
        time.sleep(0.03)
    raise AssertionError("it did not come to be")


def texts(browser: Any, selector: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).map((one) => one.textContent.trim())", selector
    )


def test_the_list_sorts_filters_and_compares_two(at: Callable[[str], Any]) -> None:
    page = at("/")
    assert texts(page, "#runs tbody th a") == ["second", "first"]
    page.find_element("css selector", "th[data-sort=name] button").click()
    assert texts(page, "#runs tbody th a") == ["first", "second"]
    page.find_element("id", "keep").send_keys("second")
    assert texts(page, "#runs tbody th a") == ["second"]
    page.refresh()
    assert texts(page, "#runs tbody th a") == ["second"]
    page.find_element("id", "keep").clear()
    page.execute_script("document.getElementById('keep').dispatchEvent(new Event('input'))")
    assert not page.find_element("id", "compare").is_enabled()
    for box in page.find_elements("css selector", "#runs input"):
        box.click()
    page.find_element("id", "compare").click()
    until(lambda: "What is judged" in page.page_source)
    assert "reported" in page.find_element("tag name", "h1").text


def test_a_sweep_is_followed_from_its_start_to_its_end(at: Callable[[str], Any], results: Path, tmp_path: Path) -> None:
    data = {
        "name": "live",
        "endpoint": {"base_url": "local", "model": "babbler", "concurrency": 4},
        "prompts": PROMPTS,
        "parameters": {"temperature": [0.4, 1.0], "max_tokens": [40, 60]},
        "request": {"seed": "per_replicate"},
        "replicates": 10,
        "choose": {"prefer": {"length_words": {"goal": "maximize"}}},
    }
    (tmp_path / "live.yaml").write_text(json.dumps(data))
    command = [sys.executable, "-m", "evalkit", "sweep", str(tmp_path / "live.yaml"), "-o", str(results / "live"), "-q"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment({"PYTHONPATH": str(ROOT)})) as sweep:
        until(lambda: (results / "live" / "responses.jsonl").exists() and (results / "live" / "run.json").exists())
        page = at("/run/live")
        assert page.current_url.endswith("/run/live/live")
        seen = [int(page.find_element("id", "done").text.split()[0].replace(",", ""))]
        until(lambda: texts(page, "#latest .answer"))
        until(lambda: texts(page, "#metrics svg text"))
        while sweep.poll() is None:
            seen.append(int(page.find_element("id", "done").text.split()[0].replace(",", "")))
            time.sleep(0.2)
        assert sweep.returncode == 0
    over = until(lambda: page.find_element("id", "over"))
    seen.append(int(page.find_element("id", "done").text.split()[0].replace(",", "")))
    assert seen == sorted(seen)
    assert len(set(seen)) >= 3
    assert seen[-1] == 2 * 2 * len(PROMPTS) * 10
    over.click()
    until(lambda: "recommended" in page.page_source and page.current_url.endswith("/run/live"))


def test_answers_are_read_searched_and_held_beside_each_other(at: Callable[[str], Any]) -> None:
    from selenium.webdriver.support.ui import Select

    page = at("/run/first/answers")
    assert len(texts(page, ".column")) == 2
    Select(page.find_element("name", "prompt")).select_by_index(2)
    until(lambda: "prompt=2" in page.current_url)
    assert PROMPTS[2]["user"] in page.find_element("css selector", ".prompt").text
    assert len(texts(page, ".answer")) == 6
    page.find_element("link text", "compare with …").click()
    until(lambda: texts(page, ".answer.picked"))
    page.find_elements("link text", "differences")[-1].click()
    until(lambda: len(texts(page, "ins, del")) >= 2)
    page.find_element("name", "find").send_keys("the\n")
    until(lambda: texts(page, ".hit-list mark"))
    page.find_element("css selector", ".hit-list a").click()
    until(lambda: texts(page, ".answer mark.hit"))


def test_thirty_pairs_are_rated_by_keyboard_and_kept(at: Callable[[str], Any], results: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    page = at("/run/first/rate")
    page.find_element("id", "begin").click()
    assert "Give a name first" in page.find_element("id", "told").text
    page.find_element("id", "rater").send_keys("ann\n")
    file = results / "first" / "ratings.jsonl"
    for number in range(30):
        until(lambda number=number: f"You have rated {number}." in page.find_element("id", "far").text)
        assert "temperature" not in page.find_element("id", "work").text
        ActionChains(page).send_keys((Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)[number % 3]).perform()
    until(lambda: "You have rated 30." in page.find_element("id", "far").text)
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["verdict"] for one in kept] == ["left", "right", "tie"] * 10
    assert {one["rater"] for one in kept} == {"ann"}
    ActionChains(page).send_keys(Keys.BACKSPACE).perform()
    until(lambda: "The one before" in page.find_element("id", "told").text)
    ActionChains(page).send_keys(Keys.ARROW_LEFT).perform()
    until(lambda: len(file.read_text().splitlines()) == 31)
    page.refresh()
    until(lambda: "You have rated 30." in page.find_element("id", "far").text)  # the name is kept too
    at("/run/first/ratings")
    assert "30 ratings (ann 30)." in page.page_source
    assert len(texts(page, "table tbody tr")) >= 2
    at("/run/first")
    assert "Preferred most" in page.page_source


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_fault_and_nothing_is_cut_off(at: Callable[[str], Any], browser: Any, width: int) -> None:
    code = axe()
    run = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done, (e) => done({violations: [{id: String(e)}]}))"
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
    faults = []
    try:
        for path in (
            "/",
            "/run/first",
            "/run/first/answers?cell=0&cell=1&a=0.0&b=1.0&find=the",
            "/run/first/rate",
            "/run/first/ratings",
            "/run/live/live",
            "/compare?run=first&run=second",
        ):
            page = at(path)
            if path.endswith("/rate"):
                until(lambda page=page: page.find_element("id", "work").is_displayed())
            page.execute_script(code)
            for scheme in ("light", "dark"):
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
                found = page.execute_async_script(run)["violations"]
                faults += [(path, scheme, one["id"], [node["html"][:160] for node in one.get("nodes", [])[:3]]) for one in found]
            if page.execute_script("return document.documentElement.scrollWidth") > width + 1:
                faults.append((path, "wide", "", []))
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert not faults
