"""Files of the repository that pages link to (code, scripts, records) become pages too.

MyST would offer them as downloads. Here they are shown with their colours under `files/`, without
the sidebar, which would take most of the time of a build. The API links to its code in the same
way.
"""

from __future__ import annotations

import html
import importlib
import inspect
import posixpath
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_ROOT = Path(__file__).parent.parent.parent
_LANGUAGES = {".py": "python", ".sh": "bash", ".json": "json", ".toml": "toml", ".md": "markdown"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{path}</title>
<link rel="icon" href="{up}/_static/favicon.svg">
<link rel="stylesheet" href="{up}/_static/pygments.css">
<link rel="stylesheet" href="{up}/_static/file.css">
</head>
<body>
<script>document.body.dataset.theme = localStorage.getItem("theme") || "auto"</script>
<header><a href="{up}/{first}.html">sparsecert</a></header>
<main><h1>{path}</h1>
{code}</main>
<script src="{up}/_static/site.js"></script>
</body>
</html>
"""
_linked: set[str] = set()  # paths from the root


class LinkToFiles(SphinxTransform):
    """Turns downloads of text files into links to their pages."""

    default_priority = 300

    def apply(self) -> None:
        """Called by Sphinx, for each page."""
        page = self.env.docname
        for download in list(self.document.findall(download_reference)):
            path = posixpath.normpath(self.env.relfn2path(download["reftarget"], page)[0])
            if Path(path).suffix in _LANGUAGES and (_ROOT / path).is_file():
                link = nodes.reference("", "", *download.children, refuri=_link(path, page))
                link["internal"] = True
                download.replace_self(link)


def _link(path: str, page: str) -> str:
    """The address of a file's page, as the page that links to it needs it."""
    _linked.add(path)
    return posixpath.relpath(f"files/{path}.html", posixpath.dirname(page) or ".")


def link_to_code(domain: str, info: dict[str, Any]) -> str | None:
    """Where an object of the API is written; none for what is neither a class nor a function."""
    found: Any = importlib.import_module(info["module"])
    for name in info["fullname"].split("."):
        found = getattr(found, name, None)
    if isinstance(found, property):
        found = found.fget
    found = inspect.unwrap(found)
    if domain != "py" or not (inspect.isclass(found) or inspect.isfunction(found)):
        return None
    path = Path(inspect.getfile(found)).relative_to(_ROOT).as_posix()
    line = inspect.getsourcelines(found)[1]
    return _link(path, "docs/api/index") + f"#line-{line}"


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is not None:
        return
    highlighter = app.builder.highlighter  # type: ignore[attr-defined]
    for path in _linked:
        file = _ROOT / path
        text, language = file.read_text(), _LANGUAGES[file.suffix]
        code = highlighter.highlight_block(text, language, lineanchors="line")
        code = re.sub(r'<a id="(line-\d+)"[^>]*></a>', r'<span id="\1"></span>', code)
        target = Path(app.outdir) / "files" / f"{path}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        up = "/".join([".."] * (path.count("/") + 1))
        target.write_text(
            _PAGE.format(path=html.escape(path), up=up, first=app.config.root_doc, code=code)
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(LinkToFiles)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
