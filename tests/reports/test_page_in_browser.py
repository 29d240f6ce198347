"""A page with figures in a real Chromium, on a desktop and on a phone of 390 px."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mien.models.registry import find_model
from mien.reports.document import Chapter, Document, Section
from mien.reports.network import chapter, network_of_card
from mien.reports.study import REPORT
from mien.reports.writer import write

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chapter about the network, whose figures are the widest, and a table as wide as a recipe's."""
    wide = {"a column with a long name " * 2 + str(i): "a value that does not break" * 2 for i in range(9)}
    document = Document(
        name="study",
        title="Recognizing apparent expressions: a study",
        lead="A lead.",
        chapters=[
            chapter(network_of_card(find_model().card)),
            Chapter("last", "Last", "", [Section.without_figure("table", "A table", "Wide.", [wide])]),
        ],
        facts={"hash of the data": "0123456789abcdef" * 4},
        report_places=REPORT,
    )
    return write(document, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def test_on_a_phone_nothing_is_wider_than_the_page_and_a_figure_is_enlarged_by_a_tap(
    chromium: Any, page_file: Path, tmp_path: Path
) -> None:
    """Figures of 1,200 px were shown 360 px wide, their text 3 px high, and could not be enlarged."""
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    figure = page.locator("#figure-layers_b0")
    picture = figure.locator("img")
    small = picture.bounding_box()
    assert small["width"] <= PHONE["width"]
    figure.locator(".enlarge").tap()
    page.wait_for_function("location.hash === '#figure-layers_b0'")
    page.screenshot(path=tmp_path / "enlarged.png")
    large = picture.bounding_box()
    assert large["width"] > 3 * small["width"]  # a text of 8.5 points is then 12 px high
    box = figure.bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, PHONE["width"], PHONE["height"])
    figure.evaluate("e => e.scrollTo(9999, 0)")
    end = picture.bounding_box()
    assert end["x"] + end["width"] <= PHONE["width"]  # its right edge can be reached
    figure.locator(".close").tap()
    page.wait_for_function("location.hash === '#layers_b0'")
    assert picture.bounding_box()["width"] == small["width"]
    context.close()


def test_with_a_keyboard_a_figure_is_enlarged_and_closed(chromium: Any, page_file: Path) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    page.focus("#figure-transforms .enlarge")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#figure-transforms'")
    assert page.locator("#figure-transforms").bounding_box()["height"] == 800
    page.go_back()
    page.wait_for_function("location.hash === ''")
    assert page.locator("#figure-transforms").bounding_box()["height"] < 800
    context.close()
