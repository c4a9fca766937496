"""Files of the repository that pages link to (code, scripts, records) become pages too.

MyST would offer them as downloads; here they are shown with their colours under `files/`.
"""

from __future__ import annotations

import html
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_LANGUAGES = {".py": "python", ".sh": "bash", ".json": "json", ".toml": "toml", ".md": "markdown"}


def _address(path: str) -> str:
    return f"files/{path}"


class LinkToFiles(SphinxTransform):
    """Turns downloads of text files into links to their pages."""

    default_priority = 300

    def apply(self) -> None:
        """Called by Sphinx, for each page."""
        page = self.env.docname
        for download in list(self.document.findall(download_reference)):
            path, absolute = self.env.relfn2path(download["reftarget"], page)
            path = posixpath.normpath(path)
            if Path(path).suffix not in _LANGUAGES or not Path(absolute).is_file():
                continue
            _linked(self.app).add(path)
            here = posixpath.dirname(page)
            address = posixpath.relpath(f"{_address(path)}.html", here or ".")
            link = nodes.reference("", "", *download.children, refuri=address, internal=True)
            download.replace_self(link)


def _linked(app: Sphinx) -> set[str]:
    """Paths from the root of all files that pages link to."""
    if not hasattr(app, "linked_files"):
        app.linked_files = set()  # type: ignore[attr-defined]
    return app.linked_files  # type: ignore[attr-defined,no-any-return]


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    highlight = app.builder.highlighter.highlight_block  # type: ignore[attr-defined]
    for path in sorted(_linked(app)):
        text = (Path(app.srcdir) / path).read_text()
        body = highlight(text, _LANGUAGES[Path(path).suffix])
        name = html.escape(path)
        context = {"title": name, "body": f"<h1><code>{name}</code></h1>{body}"}
        yield _address(path), context, "page.html"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(LinkToFiles)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
