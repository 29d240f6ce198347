"""The gallery of an audit in a real Chromium: decisions of each kind are saved as they are applied."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.auditing.findings import Decision, make_finding, read_decisions
from mien.auditing.gallery import gallery_html
from mien.data.table import FaceTable

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

Make = Callable[..., FaceTable]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
def test_decisions_made_by_keyboard_are_saved_as_they_are_applied(noise_table: Make, tmp_path: Path) -> None:
    table = noise_table([0] * 300)
    findings = [make_finding(table, i, "label", 1 - i / 300, "why", "sad") for i in range(300)]
    page_file = tmp_path / "gallery.html"
    page_file.write_text(gallery_html(table, findings), encoding="utf-8")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(accept_downloads=True)
        page.set_default_timeout(120_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())
        page.wait_for_selector("article:focus")
        assert page.locator("article").count() == 300
        for key in "ars3":  # accept, reject, as suggested, and FER2013's label 3, happy
            page.keyboard.press(key)
        page.keyboard.press("a")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("u")  # the fifth is undone
        with page.expect_download() as saved:
            page.click("#save")
        saved.value.save_as(tmp_path / "decisions.csv")
        browser.close()
    assert not problems
    assert read_decisions(tmp_path / "decisions.csv") == [
        Decision(100, "accept"),
        Decision(101, "reject"),
        Decision(102, "relabel", "sad"),
        Decision(103, "relabel", "happy"),
    ]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
@pytest.mark.parametrize("touch", [False, True])
def test_decisions_made_by_mouse_or_touch_are_saved_as_they_are_applied(
    noise_table: Make, tmp_path: Path, touch: bool
) -> None:
    """The gallery could be used with a keyboard only, so not on a phone."""
    table = noise_table([0] * 8)
    findings = [make_finding(table, i, "label", 1 - i / 8, "why", "sad") for i in range(8)]
    page_file = tmp_path / "gallery.html"
    page_file.write_text(gallery_html(table, findings), encoding="utf-8")
    size = {"width": 390, "height": 844} if touch else {"width": 1280, "height": 900}
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport=size, has_touch=touch, accept_downloads=True)
        page = context.new_page()
        page.set_default_timeout(120_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())
        page.wait_for_selector("article")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        def press(row: int, name: str) -> None:
            button = page.locator(f'article[data-row="{row}"]').get_by_role("button", name=name)
            if touch:
                button.tap()
            else:
                button.click()

        press(100, "Remove")
        press(101, "Keep")
        press(102, "→ sad")
        page.locator('article[data-row="103"] select').select_option(label="3 happy")
        press(104, "Remove")
        press(104, "Remove")  # a second press takes it back
        page.locator('article[data-row="105"] select').select_option(label="0 angry")
        page.locator('article[data-row="105"] select').select_option(label="relabel …")
        assert page.locator('article[data-row="102"] [aria-pressed=true]').inner_text() == "→ sad"
        with page.expect_download() as saved:
            page.click("#save")
        saved.value.save_as(tmp_path / "decisions.csv")
        page.screenshot(path=tmp_path / "gallery.png")
        browser.close()
    assert not problems
    assert read_decisions(tmp_path / "decisions.csv") == [
        Decision(100, "accept"),
        Decision(101, "reject"),
        Decision(102, "relabel", "sad"),
        Decision(103, "relabel", "happy"),
    ]
