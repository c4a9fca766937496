"""The docs site in Chromium: served, and opened from the file system as a download would be."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser.pages import DESKTOP, PHONE, OpenPage, Screen, check_accessible, scrolls_sideways

SCREENSHOTS = os.environ.get("SPARSECERT_SCREENSHOTS")  # a folder, where the pages are kept
# One of each kind: pictures, code, formulas and tables, signatures, a file.
PAGES = [
    "docs/index",
    "docs/own-model",
    "docs/theory/fixed-families",
    "docs/api/evaluation",
    "files/examples/own_model.py",
]


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", PAGES)
def test_main_pages(served: str, open_page: OpenPage, name: str) -> None:
    page = open_page(f"{served}/{name}.html")
    assert page.locator("h1").count() == 1
    assert not scrolls_sideways(page)
    check_accessible(page)


@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_no_page_scrolls_sideways_on_a_phone(site: Path, open_page: OpenPage) -> None:
    """Files are left out, which are all alike, and what only leads to the first page."""
    paths = {*site.rglob("*.html")} - {*(site / "files").rglob("*.html"), site / "index.html"}
    first, *others = [path.as_uri() for path in sorted(paths)]
    page = open_page(first)
    for address in others:
        page.goto(address)
        assert not scrolls_sideways(page), address


@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_the_folder_leads_to_the_first_page(site: Path, open_page: OpenPage) -> None:
    page = open_page((site / "index.html").as_uri())
    page.wait_for_url("**/docs/index.html")
    assert page.locator("article h1").inner_text().startswith("sparsecert")


@pytest.mark.parametrize("screen", [DESKTOP], ids=str)
def test_search_finds_a_page_without_a_server(site: Path, open_page: OpenPage) -> None:
    page = open_page((site / "docs" / "index.html").as_uri())
    page.fill("input[name=q]", "abstention")
    page.press("input[name=q]", "Enter")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("abstain" in title for title in found), found


@pytest.mark.parametrize("screen", [DESKTOP], ids=str)
def test_the_picture_follows_the_scheme(site: Path, open_page: OpenPage) -> None:
    page = open_page((site / "docs" / "index.html").as_uri())
    shown = page.locator("article img:visible")
    assert str(shown.get_attribute("src")).endswith("light.svg")
    page.evaluate("document.body.dataset.theme = 'dark'")
    assert str(shown.get_attribute("src")).endswith("dark.svg")


@pytest.mark.skipif(SCREENSHOTS is None, reason="pictures for the docs")
def test_write_screenshots(site: Path, open_page: OpenPage, screen: Screen) -> None:
    page = open_page((site / "docs" / "index.html").as_uri())
    where = "site" if screen.width == DESKTOP.width else "site-phone"
    page.screenshot(path=Path(str(SCREENSHOTS)) / f"{where}-{screen.scheme}.png")
