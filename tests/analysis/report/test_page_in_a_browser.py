"""The report in a real browser: nothing cut, readable by screen readers, and its figure works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.made import FigureOptions
from analysis.report.page import write_report
from sweeps.found.figure_sections import figure_sections

pytestmark = pytest.mark.browser
NARROW, WIDE = 390, 1280
CUT = """[...document.querySelectorAll("main *, header *")].filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width > 1 && box.right > innerWidth + 1 && each.checkVisibility();
}).map((each) => each.outerHTML.slice(0, 90))"""
"""Elements that reach beyond the right edge."""


@pytest.fixture(scope="module")
def report(results_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """With the figures that a report holds where they are asked for."""
    location, folder = str(results_folder), tmp_path_factory.mktemp("page")
    names = ("multiverse", "encoding", "gap_and_patients")
    figures = figure_sections(location, None, names, FigureOptions())
    return Path(write_report(location, out=folder, sections=figures)).as_uri()


@pytest.fixture(scope="module")
def page(browser: Any, report: str) -> Iterator[Any]:
    """The report on a wide screen, its errors collected in `errors`."""
    page = browser.new_page(viewport={"width": WIDE, "height": 900})
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(report)
    page.wait_for_selector("html[data-ready]")
    yield page
    assert page.errors == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_is_cut_and_everybody_can_read_it(page: Any, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CUT) == []
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_printed_page_shows_every_column(page: Any) -> None:
    page.set_viewport_size({"width": 690, "height": 900})  # A4 less its margins
    page.emulate_media(media="print", color_scheme="light")
    assert page.evaluate(CUT) == []
    assert page.locator(".explore").is_hidden()
    assert page.locator(".still").is_visible()
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": WIDE, "height": 900})


def test_sorting(page: Any) -> None:
    page.locator("#front-table thead th:nth-child(3) button").click()
    labels = page.locator("#front-table tbody tr").evaluate_all(
        "rows => rows.map(r => r.dataset.label)"
    )
    assert labels == ["cnn.tune", "cnn.probe", "vit.probe", "vit.tune"]


def test_the_figure_is_read_and_compared_with_the_keyboard(page: Any) -> None:
    page.locator(".explore select").nth(0).select_option("gap_race")
    page.locator(".explore .point[tabindex='0']").focus()
    page.keyboard.press("Home")
    first = page.locator(".readout").inner_text()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    last = page.locator(".readout").inner_text()
    page.keyboard.press("Space")
    assert first != last
    assert "Adaptation" in first
    assert "race gap" in first
    compared = page.locator(".compared")
    assert "2 selected" in compared.inner_text()
    assert compared.locator("thead th").count() == 3
    assert page.locator("#front-table .pick:checked").count() == 2
    compared.get_by_text("Clear").click()
    assert compared.inner_text() == ""


def test_boxes_of_the_table_select_too(page: Any) -> None:
    for label in ("vit.tune", "vit.probe"):
        page.locator(f"tr[data-label='{label}'] .pick").check()
    cells = page.locator(".compared tbody tr").first.locator("td").all_inner_texts()
    assert len(cells) == 2
    assert " to " in cells[1].split("\n")[1]  # the paired interval of two members of the front
    page.locator(".compared button").click()


def test_the_table_can_be_downloaded(page: Any) -> None:
    with page.expect_download() as download:
        page.locator("#download a").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("label,")
    assert len(lines) == 5
