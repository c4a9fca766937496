"""Docstrings are plain text: what is indented in them is shown as it stands, and bars are bars."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx


def _as_restructured_text(_: Sphinx, *about: Any) -> None:
    """Change the lines of a docstring, which come last, in place; sections come after it."""
    lines: list[str] = about[-1]
    changed: list[str] = []
    outer: int | None = None  # the indent of what a block of code or formulas stands in
    last = 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip():
            if outer is not None and indent <= outer:
                outer = None
            if outer is None and indent > last and changed and not changed[-1].strip():
                outer = last
                language = "python" if line.lstrip().startswith(("import ", "from ")) else "text"
                changed += [" " * outer + f".. code-block:: {language}", ""]
            last = indent
        changed.append(line if outer is not None else _escaped(line))
    lines[:] = changed


def _escaped(line: str) -> str:
    """Bars outside of code would be references in reStructuredText."""
    return re.sub(r"(`+[^`]*`+)|\|", lambda found: found[1] or r"\|", line)


def _short_types(_: Sphinx, *about: Any) -> tuple[str, str | None] | None:
    """Arrays by the name they are written with."""
    signature, returned = about[-2:]
    if signature is None:  # of what is called by nobody
        return None
    return _with_short_types(signature), returned and _with_short_types(returned)


def _with_short_types(text: str) -> str:
    text = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
    return re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[([\w.]+)\]\]", r"NDArray[\1]", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _as_restructured_text, priority=400)
    app.connect("autodoc-process-signature", _short_types)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
