"""The hands-on page as people use it: painting, keys, greedy, cells, settings."""

from __future__ import annotations

import os
import re
import socket
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
from tests.helpers.commands import run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("gradio", reason="there is no gradio: install requirements-dev.lock")
driver = pytest.importorskip("playwright.sync_api", reason="there is no playwright")

# A folder: the pages are kept there as pictures; and the run that docs/explore.md shows.
SCREENSHOTS = os.environ.get("SPARSECERT_SCREENSHOTS")
PICTURED = os.environ.get("SPARSECERT_PICTURED_RUN")
on_desktop = pytest.mark.parametrize("screen", [DESKTOP], ids=str)
on_phone = pytest.mark.parametrize("screen", [PHONE], ids=str)


# Runs the command for each folder in a thread: to be imported takes longer than to be served.
# Gradio builds one page at a time.
SERVE = """
import signal, sys, threading, time, urllib.error, urllib.request
import sparsecert.cli
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
for folder, port in zip(sys.argv[1::2], sys.argv[2::2]):
    words = ["explore", folder, "--port", port]
    threading.Thread(target=sparsecert.cli.main, args=[words], daemon=True).start()
    answered = False
    while not answered:
        try:
            answered = urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
        except urllib.error.URLError:
            time.sleep(0.05)
signal.pause()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def served(*folders: Path) -> Iterator[list[str]]:
    """The addresses of the pages of these runs, as the command tells them."""
    ports = [free_port() for _ in folders]
    words = [str(word) for pair in zip(folders, ports, strict=True) for word in pair]
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            addresses = [f"http://127.0.0.1:{port}/" for port in ports]
            for address in addresses:
                told = process.stdout.readline()
                assert told == f"the page is at {address} until you press Ctrl-C\n"
            yield addresses
        finally:
            process.terminate()


@pytest.fixture(scope="package")
def colours_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are mostly red, or mostly blue."""
    folder, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    x, y = random.integers(100, size=(60, 8, 8, 3), dtype=np.uint8), np.arange(60) % 2
    x[y == 0, :, :, 0] += 150
    x[y == 1, :, :, 2] += 150
    np.savez(folder / "colours.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    words = ["--data", folder / "colours.npz", "--retained", 4, "--epochs", 30]
    run("train", *words, "--model", "mlp", "--out", folder / "run")
    return folder / "run"


@pytest.fixture(scope="package")
def pages(digits_run: Path, rows_run: Path, colours_run: Path) -> Iterator[dict[str, str]]:
    """Addresses by what is there: digits, rows and colours."""
    with served(digits_run, rows_run, colours_run) as addresses:
        yield dict(zip(("digits", "rows", "colours"), addresses, strict=True))


@pytest.fixture(scope="package")
def pictured_page() -> Iterator[str]:
    with served(Path(str(PICTURED))) as (address,):
        yield address


@pytest.fixture(scope="package")
def certified_digit(digits_run: Path) -> int:
    """A test image that has a certificate, and is neither of what a white image may be."""
    subject = Subject(RunFolder.open(digits_run))
    smoothed = subject.classifier(12)
    white = smoothed.predict(subject.blank()[None] + 1, 1_000).counts[0].argsort()[-2:]
    found = smoothed.certify(subject.dataset.batch(range(60)), 100, 400)
    return int(np.where(np.isin(found.label, white), -1, found.radius).argmax())


def choose(page: Page, index: int) -> None:
    before = page.locator(".sc-canvas").get_attribute("data-number")
    page.get_by_label("Test image").fill(str(index))
    driver.expect(page.locator(".sc-canvas")).not_to_have_attribute("data-number", before or "")


def says(page: Page, words: str) -> None:
    driver.expect(page.locator(".sc-attack")).to_contain_text(re.compile(words))


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
    open_page: OpenPage, pages: dict[str, str], certified_digit: int, screen: Screen
) -> None:
    page = open_page(pages["digits"])
    driver.expect(page.locator(".sc-certificate")).to_be_visible()
    if certified_digit:
        choose(page, certified_digit)
    says(page, "Nothing is changed yet")
    radius = int(page.locator("#sc-radius").inner_text())
    told = re.compile(rf"No change of {radius} pixels?, to any values, can make it anything else")
    driver.expect(page.locator(".sc-certificate")).to_have_text(told)
    before = "0"
    for row in range(8):
        paint_row(page, row)
        driver.expect(page.locator("#sc-count")).not_to_have_text(before)
        before = page.locator("#sc-count").inner_text()
        page.wait_for_timeout(50)
        if page.locator(".sc-flipped").count():
            break
    driver.expect(page.locator(".sc-flipped")).to_be_visible()
    says(page, rf"Flipped after \d+ pixels changed: .* The certificate promised {radius} pixel")
    changed = int(page.locator("#sc-count").inner_text())
    assert radius < changed <= 8 * (row + 1)
    check_accessible(page)
    assert not scrolls_sideways(page)
    for _ in range(row + 1):
        page.get_by_role("button", name="Undo").click()
    says(page, "Nothing is changed yet")
    paint_row(page, 0, 2, 4)
    driver.expect(page.locator("#sc-count")).not_to_have_text("0")
    page.get_by_role("button", name="Reset", exact=True).click()
    says(page, "Nothing is changed yet")


@on_desktop
def test_greedy_by_a_button(open_page: OpenPage, pages: dict[str, str], screen: Screen) -> None:
    page = open_page(pages["digits"])
    says(page, "Nothing is changed yet")
    paint_row(page, 3, 0, 1)
    says(page, "pixels changed, and the vote still says")
    page.get_by_role("button", name="Attack by greedy").click()
    driver.expect(page.locator(".sc-flipped")).to_be_visible()
    says(page, r"Flipped after \d+ pixels? changed")
    page.get_by_role("button", name="Ask fresh ablations").click()
    says(page, r"Fresh ablations (say|abstain).*ballots")
    page.get_by_role("button", name="Undo").click()
    driver.expect(page.locator("#sc-count")).to_have_text(re.compile("^[12]$"))


@on_desktop
def test_keys_paint_and_undo(open_page: OpenPage, pages: dict[str, str]) -> None:
    page = open_page(pages["digits"])
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
def test_a_drawing_is_certified(open_page: OpenPage, pages: dict[str, str]) -> None:
    page = open_page(pages["digits"])
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
def test_settings_and_bad_ones(open_page: OpenPage, pages: dict[str, str]) -> None:
    page = open_page(pages["digits"])
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
    paint_row(page, 1, 0, 1)  # the image that is shown is still there
    driver.expect(problem).to_be_hidden()
    says(page, "pixels changed")
    page.get_by_label("Test image").fill("1")
    says(page, "Nothing is changed yet")


@pytest.mark.parametrize("screen", [DESKTOP, Screen(375, "dark")], ids=str)
def test_cells_are_edited(open_page: OpenPage, pages: dict[str, str], screen: Screen) -> None:
    page = open_page(pages["rows"])
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


@on_desktop
def test_colours_are_painted(open_page: OpenPage, pages: dict[str, str], screen: Screen) -> None:
    page = open_page(pages["colours"])
    says(page, "Nothing is changed yet")
    driver.expect(page.get_by_role("heading", name="This is “0”")).to_be_visible()
    page.get_by_label("Colour").fill("#0000ff")
    page.get_by_label("Size").select_option("3")
    for row in (1, 4, 7):
        paint_row(page, row)
    says(page, "Flipped after 64 pixels changed: the vote says “1” now")
    driver.expect(page.locator(".sc-readout")).to_have_text(
        "Row 8, column 8: 0 %, 0 %, 100 %, changed"
    )
    keep(page, "colours", screen)


@pytest.mark.skipif(SCREENSHOTS is None or PICTURED is None, reason="pictures for the docs")
def test_pictures_of_a_run(open_page: OpenPage, pictured_page: str, screen: Screen) -> None:
    page = open_page(pictured_page)
    says(page, "Nothing is changed yet")
    page.get_by_role("button", name="Attack by greedy").click()
    driver.expect(page.locator(".sc-flipped")).to_be_visible(timeout=280_000)
    page.get_by_role("button", name="Ask fresh ablations").click()
    says(page, "Fresh ablations")
    keep(page, "image", screen)
