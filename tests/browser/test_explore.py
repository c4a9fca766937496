"""The hands-on page as people use it: painting, keys, greedy, cells, settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sparsecert.explore.subject import Subject
from sparsecert.runs.folder import RunFolder
from tests.browser.pages import (
    DESKTOP,
    PHONE,
    OpenPage,
    Screen,
    check_accessible,
    scrolls_sideways,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("gradio", reason="there is no gradio: install requirements-dev.lock")
driver = pytest.importorskip("playwright.sync_api", reason="there is no playwright")

# A folder: the pages are kept there as pictures, for docs/explore.md.
SCREENSHOTS = os.environ.get("SPARSECERT_SCREENSHOTS")
on_desktop = pytest.mark.parametrize("screen", [DESKTOP], ids=str)
on_phone = pytest.mark.parametrize("screen", [PHONE], ids=str)


@contextmanager
def served(run: Path) -> Iterator[str]:
    """The address of the page of a run, served by the command."""
    command = [sys.executable, "-m", "sparsecert", "explore", str(run), "--port", "0"]
    with subprocess.Popen(
        [*command, "--num-samples", "400"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


@pytest.fixture(scope="package")
def digits_page(digits_run: Path) -> Iterator[str]:
    with served(digits_run) as address:
        yield address


@pytest.fixture(scope="package")
def rows_page(rows_run: Path) -> Iterator[str]:
    with served(rows_run) as address:
        yield address


@pytest.fixture(scope="package")
def certified_digit(digits_run: Path) -> int:
    """A test image that has a certificate, and is not what a white image is."""
    subject = Subject(RunFolder.open(digits_run))
    smoothed = subject.classifier(12)
    white = smoothed.predict(subject.blank()[None] + 1, 400).counts.argmax()
    found = smoothed.certify(subject.dataset.batch(range(60)), 100, 400)
    return int(np.where(found.label == white, -1, found.radius).argmax())


def choose(page: Page, index: int) -> None:
    before = page.locator(".sc-canvas").get_attribute("data-number")
    page.get_by_label("Test image").fill(str(index))
    driver.expect(page.locator(".sc-canvas")).not_to_have_attribute("data-number", before or "")


def says(page: Page, words: str) -> None:
    driver.expect(page.get_by_role("status").first).to_contain_text(re.compile(words))


def paint_row(page: Page, row: int, first: int = 0, last: int = 7) -> None:
    """Drag over pixels of a row of the 8 x 8 image."""
    canvas = page.locator(".sc-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    side, height = box["width"] / 8, box["y"] + (row + 0.5) * box["height"] / 8
    page.mouse.move(box["x"] + (first + 0.5) * side, height)
    page.mouse.down()
    page.mouse.move(box["x"] + (last + 0.5) * side, height)
    page.mouse.up()


def keep(page: Page, name: str, screen: Screen) -> None:
    if SCREENSHOTS is not None:
        page.screenshot(path=Path(SCREENSHOTS) / f"explore-{name}-{screen}.png", full_page=True)


def test_painting_until_the_digit_flips(
    open_page: OpenPage, digits_page: str, certified_digit: int, screen: Screen
) -> None:
    page = open_page(digits_page)
    driver.expect(page.locator(".sc-certificate")).to_be_visible(timeout=20_000)
    if certified_digit:
        choose(page, certified_digit)
    says(page, "Nothing is changed yet")
    radius = int(page.locator("#sc-radius").inner_text())
    told = re.compile(rf"No change of {radius} pixels?, to any values, can make it anything else")
    driver.expect(page.locator(".sc-certificate")).to_have_text(told)
    row, before = 0, "0"
    while page.locator(".sc-flipped").count() == 0:
        assert row < 8, "a white image is no other digit"
        paint_row(page, row)
        driver.expect(page.locator("#sc-count")).not_to_have_text(before)
        row, before = row + 1, page.locator("#sc-count").inner_text()
        page.wait_for_timeout(50)
    says(page, rf"Flipped after \d+ pixels changed: .* The certificate promised {radius} pixel")
    changed = int(page.locator("#sc-count").inner_text())
    assert radius < changed <= 8 * row
    check_accessible(page)
    assert not scrolls_sideways(page)
    keep(page, "digits", screen)
    for _ in range(row):
        page.get_by_role("button", name="Undo").click()
    says(page, "Nothing is changed yet")
    paint_row(page, 0, 2, 4)
    driver.expect(page.locator("#sc-count")).not_to_have_text("0")
    page.get_by_role("button", name="Reset", exact=True).click()
    says(page, "Nothing is changed yet")


@on_desktop
def test_greedy_by_a_button(open_page: OpenPage, digits_page: str, screen: Screen) -> None:
    page = open_page(digits_page)
    says(page, "Nothing is changed yet")
    paint_row(page, 3, 0, 1)
    page.get_by_role("button", name="Attack by greedy").click()
    driver.expect(page.locator(".sc-flipped")).to_be_visible(timeout=30_000)
    says(page, r"Flipped after \d+ pixels? changed")
    page.get_by_role("button", name="Ask fresh ablations").click()
    says(page, r"Fresh ablations (say|abstain).*ballots")
    page.get_by_role("button", name="Undo").click()
    driver.expect(page.locator("#sc-count")).to_have_text(re.compile("^[12]$"))


@on_desktop
def test_keys_paint_and_undo(open_page: OpenPage, digits_page: str) -> None:
    page = open_page(digits_page)
    says(page, "Nothing is changed yet")
    page.get_by_label("Brush").fill("77")
    page.get_by_role("application").focus()
    for key in ("ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    driver.expect(page.locator("#sc-count")).to_have_text("1")
    driver.expect(page.locator(".sc-readout")).to_have_text("Row 4, column 4: 30 %, changed")
    page.keyboard.press("Control+z")
    driver.expect(page.locator("#sc-count")).to_have_text("0")


@on_phone
def test_a_drawing_is_certified(open_page: OpenPage, digits_page: str) -> None:
    page = open_page(digits_page)
    says(page, "Nothing is changed yet")
    page.get_by_role("button", name="Draw one").click()
    driver.expect(page.get_by_role("heading", name="A drawing")).to_be_visible()
    page.get_by_label("Size").select_option("2")
    paint_row(page, 2, 3, 4)
    says(page, "The vote now")
    page.get_by_role("button", name="Certify this image").click()
    driver.expect(page.get_by_role("heading", name=re.compile("This is|Undecided"))).to_be_visible()
    driver.expect(page.locator("#sc-count")).to_have_text("0")


@on_desktop
def test_settings_and_bad_ones(open_page: OpenPage, digits_page: str) -> None:
    page = open_page(digits_page)
    says(page, "Nothing is changed yet")
    paint_row(page, 0, 0, 1)
    says(page, "pixels changed")
    page.get_by_label("number input for k").fill("30")
    driver.expect(page.locator(".sc-views")).to_contain_text("The network was trained for k = 12")
    page.get_by_label("pairwise").check()
    says(page, "pixels changed")
    page.get_by_label("Test image").fill("100000")
    problem = page.get_by_role("alert").filter(has_text="from 0 to 449, got 100000")
    driver.expect(problem).to_be_visible()
    page.get_by_label("Test image").fill("1")
    driver.expect(problem).to_be_hidden()
    says(page, "Nothing is changed yet")


@pytest.mark.parametrize("screen", [DESKTOP, Screen(375, "dark")], ids=str)
def test_cells_are_edited(open_page: OpenPage, rows_page: str, screen: Screen) -> None:
    page = open_page(rows_page)
    says(page, "Edit columns until the vote flips")
    cell = page.get_by_label("worst radius")
    for value, count in (("35", "1"), ("", "1")):
        cell.fill(value)
        cell.press("Enter")
        cell.blur()
        driver.expect(page.locator("#sc-count")).to_have_text(count)
    other = page.get_by_label("mean texture")
    other.fill("39")
    other.blur()
    driver.expect(page.locator("#sc-count")).to_have_text("2")
    says(page, "2 columns changed|Flipped after 2 columns")
    check_accessible(page)
    assert not scrolls_sideways(page)
    keep(page, "rows", screen)
    page.get_by_role("button", name="Reset", exact=True).click()
    says(page, "Nothing is changed yet")
