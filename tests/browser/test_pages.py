"""What the other tests of this folder rely on: a page that misbehaves is caught."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import DESKTOP, PHONE, OpenPage, Watch, check_accessible, scrolls_sideways

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE = "<!doctype html><html lang=en><head><title>A page</title></head><body>{}</body></html>"


def written(folder: Path, body: str) -> str:
    path = folder / "page.html"
    path.write_text(PAGE.format(body))
    return path.as_uri()


def test_a_good_page_passes(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(written(tmp_path, "<main><h1>Good</h1><img alt='' src='data:,'></main>"))
    check_accessible(page)
    assert not scrolls_sideways(page)


def test_screens_are_as_asked(open_page: OpenPage, tmp_path: Path, screen: object) -> None:
    page = open_page(written(tmp_path, "<main><h1>Good</h1></main>"))
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert str(screen) == f"{page.evaluate('innerWidth')}-{'dark' if dark else 'light'}"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('oh')</script>", "console error: oh"),
        ("<script>throw new Error('no')</script>", "exception: no"),
        ("<img alt='' src='http://127.0.0.1:9/x.png'>", "request to elsewhere: http://127.0.0.1:9"),
        ("<script>new WebSocket('ws://127.0.0.1:9')</script>", "request to elsewhere: ws://"),
    ],
)
def test_misbehaviour_is_told(browser: Browser, tmp_path: Path, body: str, complaint: str) -> None:
    page = browser.new_page()
    watch = Watch(page, "http://served.example")
    page.goto(written(tmp_path, body))
    page.wait_for_timeout(100)
    page.close()
    assert any(told.startswith(complaint) for told in watch.complaints), watch.complaints


@pytest.mark.parametrize("screen", [DESKTOP], ids=str)
def test_axe_finds_what_is_missing(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(written(tmp_path, "<main><h1>Bad</h1><input></main>"))
    with pytest.raises(AssertionError, match=r"critical: .*label"):
        check_accessible(page)


@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_wide_pages_are_found(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(written(tmp_path, "<main style='width: 600px'><h1>Wide</h1></main>"))
    assert scrolls_sideways(page)
