"""Fixtures of the tests that look at pages in Chromium: the site, and the hands-on page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import SCREENS, OpenPage, Screen, Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


# Not for the whole session: while it runs, its thread has a running event loop, in which other
# tests could not start theirs.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on the path: install it to look at pages in it")
    driver = pytest.importorskip(
        "playwright.sync_api", reason="there is no playwright: install requirements-dev.lock"
    )
    with driver.sync_playwright() as playwright:
        driver.expect.set_options(timeout=20_000)  # other tests may keep the machine busy
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@pytest.fixture(params=SCREENS, ids=str)
def screen(request: pytest.FixtureRequest) -> Screen:
    """Each screen in turn; `@pytest.mark.parametrize("screen", [...])` chooses others."""
    chosen: Screen = request.param
    return chosen


@pytest.fixture
def open_page(browser: Browser, screen: Screen) -> Iterator[OpenPage]:
    """Opens addresses on the screen; in the end no page may have complained, or asked elsewhere."""
    watches = []
    with ExitStack() as contexts:

        def open_page(address: str) -> Page:
            context = browser.new_context(
                viewport={"width": screen.width, "height": screen.height},
                color_scheme=screen.scheme,
            )
            contexts.callback(context.close)
            page = context.new_page()
            watches.append(Watch(page, address))
            page.goto(address)
            return page

        yield open_page
    complaints = [complaint for watch in watches for complaint in watch.complaints]
    assert not complaints, "\n".join(complaints)
