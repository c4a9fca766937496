"""The docs site builds without a warning, leads nowhere wrong, needs nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import sparsecert as sc
from sparsecert import attacks
from tests.helpers.site import ROOT, Page

API = ROOT / "docs" / "api"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_links_within_the_site_lead_somewhere(pages: dict[Path, Page]) -> None:
    """Anchors included."""
    assert len(pages) > 50
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path} links to {link}"
            if target in pages and parts.fragment:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path} links to {link}"


def test_links_to_elsewhere_have_the_form_of_links(pages: dict[Path, Page]) -> None:
    links = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    for link in links:
        assert re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+(/\S*)?", link), link


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in page.loaded:
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), f"{path} loads {address}"
            assert not parts.netloc, f"{path} loads {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\W*(https?:)?//", style.read_text()), style


def test_formulas_are_set_without_scripts(site: Path) -> None:
    """And all of them: what is left unset shows its dollars."""
    for path in (site / "docs" / "theory").glob("*.html"):
        text = re.sub(r"<(script|code)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
        assert "<math" in text, path
        assert "$" not in text, path
        assert not any("math" in address for address in Page(path).loaded), path


def test_the_api_has_every_public_name_once() -> None:
    text = "\n".join(path.read_text() for path in API.glob("*.rst"))
    found = re.findall(r"^\.\. auto(?:class|function|exception|data):: (\S+)$", text, re.MULTILINE)
    ours = {f"sparsecert.{name}" for name in sc.__all__} - {"sparsecert.ablation_shift"}
    assert len(found) == len(set(found))
    assert {name for name in found if name.count(".") == 1} == ours
    # Instances are no part of the API pages.
    named = {name for name in attacks.__all__ if not name.isupper()}
    assert {name for name in found if ".attacks." in name} == {
        f"sparsecert.attacks.{name}" for name in named
    }


def test_the_api_has_every_module_of_the_theory() -> None:
    """`ablation_shift` is among them."""
    found = re.findall(r"automodule:: sparsecert\.theory\.(\w+)", (API / "theory.rst").read_text())
    modules = (ROOT / "src" / "sparsecert" / "theory").glob("[!_]*.py")
    assert sorted(found) == sorted(path.stem for path in modules)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "theory").glob("*.md")), ids=lambda page: page.stem
)
def test_a_page_of_the_theory_has_a_statement_a_proof_and_tests(page: Path) -> None:
    text = page.read_text()
    assert "*Proof" in text
    assert "## Assumptions" in text
    section = text[text.index("## Tests") :]
    assert re.search(r"\]\(\.\./\.\./tests/\S+\.py\)", section)
