"""How `make docs` builds the site: from Markdown where it lies in the repository, and docstrings.

The source folder is the root of the repository, so that links between docs, results and code are
the same on the site as in the repository, and a broken one is a warning, which ends the build.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "extensions"))

from linked_files import link_to_code  # noqa: E402

# Captions, and short titles of pages in the order of the sidebar. Every page must be here.
NAVIGATION = {
    "Guides": {
        "A PyTorch model": "docs/own-model",
        "Other classifiers": "docs/classifiers",
        "Tables": "docs/tables",
        "Images in a folder": "docs/images-in-a-folder",
        "Attack by hand": "docs/explore",
        "The paper's tables": "docs/reproduce",
        "Choosing k, rule and design": "docs/choosing",
        "Partitions": "docs/partitions",
        "What a radius counts": "docs/units",
        "Threats and the top K": "docs/threats",
        "Attacks": "docs/attacks",
        "A cluster": "docs/scale",
        "Sharing": "docs/sharing",
    },
    "Reference": {
        "Runs": "docs/runs",
        "Data": "docs/data",
        "Recipes and networks": "docs/recipes",
        "Speed": "docs/speed",
        "API": "docs/api/index",
    },
    "Theory": {
        "What is guaranteed": "docs/guarantee",
        "Theorem 1": "docs/theory/theorem-1",
        "Majority": "docs/theory/majority",
        "Margin": "docs/theory/margin",
        "Pairwise": "docs/theory/pairwise",
        "Many classes": "docs/theory/many-classes",
        "Boundaries": "docs/theory/boundaries",
        "Sequential sampling": "docs/theory/sequential",
        "Fixed families": "docs/theory/fixed-families",
        "Run-off": "docs/theory/run-off",
        "Windows": "docs/theory/windows",
        "Abstention": "docs/theory/abstention",
        "The top K": "docs/theory/top-k",
        "Units": "docs/theory/units",
        "Noise of Lee et al.": "docs/theory/lee2019",
    },
    "Results": {
        "All records": "results/README",
        "Leaderboard": "docs/leaderboard",
        "Submissions": "leaderboard/README",
    },
    "Contributing": {
        "Layout and changes": "CONTRIBUTING",
        "Changelog": "CHANGELOG",
        "Security": "SECURITY",
    },
}

project = "sparsecert"
author = "the sparsecert contributors"
copyright = author

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "results/README.md",
    "leaderboard/README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
]
exclude_patterns = [
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and path.name not in ("docs", "leaderboard", "results")
]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "docstrings",
    "light_and_dark",
    "linked_files",
    "mathml",
    "mended",
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

linkcode_resolve = link_to_code
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "sparsecert"
html_static_path = ["static"]
html_favicon = "static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
}


def add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the sidebar's tables of contents on the first page, where readers do not see them."""
    if page != root_doc:
        return
    for caption, pages in NAVIGATION.items():
        lines = [f"{title} </{path}>" for title, path in pages.items()]
        source[0] += "\n".join(
            ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *lines, "```", ""]
        )


def add_entrance(app: Sphinx, error: Exception | None) -> None:
    """Make the folder itself lead to the first page."""
    if error is None:
        first = f"{root_doc}.html"
        link = f'<a href="{first}">sparsecert</a>'
        (Path(app.outdir) / "index.html").write_text(
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>sparsecert</title>\n'
            f'<meta http-equiv="refresh" content="0; url={first}">\n{link}\n'
        )


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    app.connect("build-finished", add_entrance)
