"""The report in a real browser: it draws, follows, opens again from a link, asks for nothing, runs nothing of others, and can be used by all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import axe, chromium, requested
from support.reports import hostile, swept

from evalkit.present.html import report as html
from evalkit.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept(tmp_path_factory.mktemp("run") / "reported")


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    place = run.folder / "report.html"
    place.write_text(html.page(run), encoding="utf-8")
    return place.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def opened(browser: Any, address: str) -> Any:
    browser.get("about:blank")
    browser.get_log("browser")
    requested(browser)
    browser.get(address)
    return browser


def texts(browser: Any, selector: str) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector)


def count(browser: Any, selector: str) -> int:
    return browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def rows_left(browser: Any) -> int:
    return browser.execute_script("return [...document.querySelectorAll('#cells-table tbody tr')].filter((row) => row.checkVisibility()).length")


def test_it_opens_from_a_file_without_a_word_in_the_console_and_asks_for_nothing(browser: Any, page: str) -> None:
    opened(browser, page)
    assert browser.get_log("browser") == []
    assert requested(browser) == [page]


def test_every_picture_has_drawn_its_marks(browser: Any, page: str, run: Run) -> None:
    opened(browser, page)
    assert count(browser, "#parallel path.line") == len(run.analysis.cells)
    assert count(browser, "#parallel .axis") >= 3 + 3
    assert count(browser, "#parallel path.line.chosen") == 1
    assert count(browser, "#heat rect.tile") == 3 * 2
    assert "±" in "".join(texts(browser, "#heat text"))
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('svg.figure')].map((one) => [one.querySelectorAll('path,use').length,"
        " one.getBoundingClientRect().width, one.getAttribute('aria-label').length])"
    )
    assert len(drawn) >= 2
    assert count(browser, "svg.marks circle.this") == count(browser, ".buys tbody tr") >= 3
    assert all(marks > 10 and width > 200 and said > 20 for marks, width, said in drawn)
    assert count(browser, ".shares rect") > 5


def test_brushing_an_axis_narrows_the_table_by_pointer_and_by_key(browser: Any, page: str, run: Run) -> None:
    from selenium.webdriver import ActionChains, Keys

    opened(browser, page)
    every = len(run.analysis.cells)
    assert rows_left(browser) == every
    browser.find_element("css selector", "#explore summary").click()
    grip = browser.find_element("css selector", "#parallel .axis .grip")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", grip)
    height = grip.rect["height"]
    ActionChains(browser).move_to_element(grip).move_by_offset(0, int(-height * 0.48)).click_and_hold().move_by_offset(
        0, int(height * 0.25)
    ).release().perform()
    kept = sum(cell["temperature"] == 1.2 for cell in run.analysis.cells)
    assert rows_left(browser) == kept
    assert f"{kept} of {every}" in texts(browser, "#left")[0]
    browser.find_element("id", "parallel-clear").click()
    assert rows_left(browser) == every
    axis = browser.find_element("css selector", "#parallel .axis")
    axis.send_keys(Keys.ARROW_UP)
    assert rows_left(browser) == every - sum(cell["temperature"] == 0 for cell in run.analysis.cells)
    assert "from 0.7 to 1.2" in axis.get_attribute("aria-valuetext")
    axis.send_keys(Keys.ESCAPE)
    assert rows_left(browser) == every


def test_the_table_sorts_filters_and_shows_the_columns_asked_for(browser: Any, page: str, run: Run) -> None:
    opened(browser, page)
    head = browser.find_element("css selector", "#cells-table th[data-key='distinct_1'] button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'}); arguments[0].click()", head)
    order = browser.execute_script("return [...document.querySelectorAll('#cells-table tbody tr')].map((row) => Number(row.dataset.cell))")
    means = {row.cell_index: row.mean for row in run.analysis.by_cell if row.metric == "distinct_1"}
    known = [means[cell] for cell in order if means[cell] == means[cell]]
    assert known == sorted(known, reverse=True)
    assert browser.find_element("css selector", "th[data-key='distinct_1']").get_attribute("aria-sort") == "descending"
    browser.find_element("id", "rows").send_keys("temperature=1.2 max_tokens=80")
    assert rows_left(browser) == sum(cell["temperature"] == 1.2 and cell["max_tokens"] == 80 for cell in run.analysis.cells)
    browser.execute_script(
        "const box = document.querySelector('#columns input[value=length_chars]'); box.checked = true; box.dispatchEvent(new Event('change'))"
    )
    assert browser.execute_script("return !document.querySelector(\"th[data-key='length_chars']\").hidden")


def test_the_slider_changes_the_answers_and_the_search_finds_and_marks(browser: Any, page: str, run: Run) -> None:
    opened(browser, page)
    before = texts(browser, ".column:first-child .answer .text")
    assert len(before) == run.analysis.counts.replicates
    browser.execute_script(
        "const one = document.querySelector('.column .slider input'); one.value = one.value === '0' ? 2 : 0; one.dispatchEvent(new Event('input'))"
    )
    after = texts(browser, ".column:first-child .answer .text")
    assert len(after) == run.analysis.counts.replicates
    assert before != after
    assert count(browser, ".column") == 2
    browser.find_element("id", "add-column").click()
    assert count(browser, ".column") == 3
    word = max((word for word in after[0].split() if word.isalpha()), key=len)
    browser.find_element("id", "find").send_keys(word)
    assert "answers hold it" in texts(browser, "#find-said")[0]
    assert {one.lower() for one in texts(browser, "mark.hit")} >= {word.lower()}


def test_a_link_opens_the_same_view_again(browser: Any, page: str) -> None:
    opened(browser, page)
    browser.execute_script("change({ cell: 3, heat: ['distinct_1', '2', '0'], prompt: 2, beside: [1, 4, 5], sort: '-distinct_2', find: 'the' })")
    address = browser.current_url
    shown = [
        texts(browser, ".column h3"),
        texts(browser, "#heat text"),
        texts(browser, "#prompt-text"),
        texts(browser, "#cells-table tbody td:first-child"),
    ]
    opened(browser, address)
    assert browser.current_url == address
    assert [
        texts(browser, ".column h3"),
        texts(browser, "#heat text"),
        texts(browser, "#prompt-text"),
        texts(browser, "#cells-table tbody td:first-child"),
    ] == shown
    assert browser.execute_script("return document.querySelector('tr.here').dataset.cell") == "3"
    for broken in ("#cell=99999", "#heat=x|y|z", "#beside=a,b", "#brush=~~;p:temperature~x~1", "#%F0%9F", "#decision"):
        opened(browser, page + broken)
        assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 380])
def test_axe_finds_no_fault(browser: Any, page: str, scheme: str, width: int) -> None:
    code = axe()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
    try:
        opened(browser, page)
        browser.execute_script(code)
        found = browser.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done, (e) => done({violations: [{id: String(e)}]}))"
        )
        told = [(one["id"], one.get("impact"), [node["html"][:160] for node in one.get("nodes", [])[:3]]) for one in found["violations"]]
        assert not told
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width + 1
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_on_a_phone_every_figure_of_the_first_screen_is_inside(browser: Any, page: str) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True})
    try:
        opened(browser, page)
        cells = browser.execute_script(
            "return [...document.querySelectorAll('.buys td[data-head]')].map((one) => [one.dataset.head, one.getBoundingClientRect().right])"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert {"this setting", "reference", "change"} == {head for head, _ in cells}
    assert all(0 < right <= 420 for _, right in cells)


def test_hostile_texts_run_nothing_break_nothing_and_can_be_read(browser: Any, tmp_path: Path) -> None:
    bad = hostile(tmp_path / "hostile")
    place = bad.folder / "report.html"
    place.write_text(html.page(bad), encoding="utf-8")
    opened(browser, place.as_uri())
    prompts = len(bad.experiment.prompts)
    for prompt in range(prompts):
        for first in range(0, len(bad.analysis.cells), 3):
            beside = list(range(first, min(first + 3, len(bad.analysis.cells))))
            browser.execute_script("change({ prompt: arguments[0], beside: arguments[1], find: '<' })", prompt, beside)
    assert browser.execute_script("return window.broken") is None
    assert browser.get_log("browser") == []
    assert requested(browser) == [place.as_uri()]
    assert browser.title.endswith("evalkit report")
    assert count(browser, "main > section") == count(browser, "section[aria-labelledby]")
    assert count(browser, "#reader img, #reader script, #reader iframe, #reader a") == 0
    assert all(texts(browser, ".answer .text"))
