"""What Sphinx and docutils write, mended for the ear (screen readers) and for the eye."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# Parameters one to a line are a list of definitions of nothing.
_PARAMETERS = re.compile(r'<dl>\s*((?:<dd><(?:em|span) class="sig-.*?</dd>\s*)+)</dl>', re.DOTALL)
# A formula and what follows it, which would otherwise begin a line.
_FORMULA = re.compile(r"(<math(?:(?!</math>).)*</math>)([.,;:?)\u2019\u201d-]+\w*)", re.DOTALL)


def _lines(found: re.Match[str]) -> str:
    lines = found[1].replace("<dd>", "<div>").replace("</dd>", "</div>")
    return f'<div class="sig-lines">{lines}</div>'


def _mend(_app: Sphinx, _name: str, _template: str, context: dict[str, Any], _: object) -> None:
    if "body" in context:
        body = _PARAMETERS.sub(_lines, context["body"])
        context["body"] = _FORMULA.sub(r'<span class="together">\1\2</span>', body)
    # Captions of the sidebar are headings of no level.
    context["furo_navigation_tree"] = context["furo_navigation_tree"].replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx; after the theme has made the sidebar."""
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
