"""On a dark page images named `...-light.svg` or `.png` give way to `...-dark`, if there is one.

On GitHub the light one is shown, which has a background of its own.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class LightAndDark(SphinxTransform):
    """Adds the dark twins; the theme shows the one that fits the page."""

    default_priority = 300

    def apply(self) -> None:
        """Called by Sphinx, for each page."""
        for light in list(self.document.findall(nodes.image)):
            stem, dot, ending = light["uri"].rpartition(".")
            twin = stem.removesuffix("-light") + "-dark" + dot + ending
            _, found = self.env.relfn2path(twin, self.env.docname)
            if stem.endswith("-light") and Path(found).exists():
                dark = light.deepcopy()
                dark["uri"] = twin
                light["classes"].append("only-light")
                dark["classes"].append("only-dark")
                light.parent.insert(light.parent.index(light) + 1, dark)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(LightAndDark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
