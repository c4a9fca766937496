"""The docs site, built as `make docs` builds it, and what its pages link to."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def build(out: Path) -> None:
    """Any warning ends it: a broken link, a formula that cannot be set, a page nothing leads to."""
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--conf-dir", ROOT / "docs"]
    command = [sys.executable, "-m", "sphinx", *options, ROOT, out]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert built.returncode == 0, built.stderr


class Page(HTMLParser):
    """What a page leads to, and what it loads.

    Attributes:
        links: targets of its links.
        loaded: addresses of scripts, styles and images.
        anchors: names within it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])
