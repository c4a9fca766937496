"""The page as a visitor reads it, of images and of tables."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sparsecert import data
from sparsecert.report import figures, words
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import GRADIENTS, SMALL, Fails, read_json, report, run


class Reader(HTMLParser):
    """What is read aloud, and what stands for pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.alts, self.labels = "", list[str](), list[str]()
        self._hidden = 0
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._hidden += tag in ("style", "svg")
        self.text += "| " if tag in ("td", "th") else ""
        if tag == "img":
            self.alts.append(given.get("alt") or "")
        if tag == "svg":
            self.labels.append(given.get("aria-label") or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "svg")

    def handle_data(self, text: str) -> None:
        self.text += "" if self._hidden else f"{text} "


@pytest.fixture(scope="module")
def images_page(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = Path(shutil.copytree(digits_run, tmp_path_factory.mktemp("page") / "run"))
    run("certify", folder, "--limit", 12, *SMALL)
    run("attack", folder, "--attack", "greedy", "--limit", 2, *GRADIENTS)
    return Reader(report(folder))


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "table"
    run("train", "--data", "breast-cancer", "--retained", 5, "--epochs", 10, "--out", folder)
    run("certify", folder, "--limit", 8, *SMALL)
    run("attack", folder, "--attack", "greedy", "--limit", 4, *GRADIENTS)
    return folder


@pytest.fixture(scope="module")
def table_page(table_run: Path) -> Reader:
    return Reader(report(table_run))


def test_every_picture_has_words_that_stand_for_it(images_page: Reader, table_page: Reader) -> None:
    assert len(images_page.alts) >= 8 * 5 + 1
    for page in (images_page, table_page):
        assert len(page.labels) == 4
        assert all(page.alts + page.labels)
    assert not table_page.alts
    assert any(alt.startswith("the same with ") for alt in images_page.alts)


def test_numbers_are_written_one_way(images_page: Reader, table_page: Reader) -> None:
    for page in (images_page, table_page):
        told = page.text.split("How this was made")[0]
        assert not re.search(r"\d%", told)
        assert not re.search(r"\b1 (pixels|features|images|rows)\b", told)
    assert words.counted(1, "pixels") == "1 pixel"
    assert words.counted(2_000, "features") == "2,000 features"


def test_a_visitor_is_told_what_the_page_says(images_page: Reader, table_page: Reader) -> None:
    assert "only 12 of its 64 pixels, drawn at random" in images_page.text
    for page in (images_page, table_page):
        glossary = page.text.split("What the words mean")[-1]
        for term in (
            "ballot",
            "majority rule",
            "pairwise rule",
            "two-channel encoding",
            "abstains",
        ):
            assert term in glossary
        assert "nearest adversarial example" in page.text
    assert "light blue" in images_page.text
    assert "changed pixels framed" in images_page.text


def test_a_table_s_page_speaks_of_rows_and_names_features(table_page: Reader) -> None:
    told = table_page.text.split("How this was made")[0]
    for word in ("image", "pixel", "light blue"):
        assert word not in told
    assert "8 test rows" in told
    assert "mean radius" in told
    assert re.search(r"(mean|worst) [a-z ]+: [-\d.e]+ → [-\d.e]+", told)


def test_values_of_changes_are_those_of_the_data(table_run: Path, table_page: Reader) -> None:
    """As they were before they were scaled."""
    ends = RunFolder(table_run).config.feature_range
    assert ends is not None
    assert ends.names is not None
    dataset = data.load("breast-cancer", "test")
    changes = re.findall(r"((?:mean|worst) [a-z]+): ([\d.e-]+) → ([\d.e-]+)", table_page.text)
    found = [change for change in changes if change[0] in ends.names]
    assert found
    for name, before, _ in found:
        place = ends.names.index(name)
        raw = ends.low[place] + dataset.inputs[:, place] * (ends.high[place] - ends.low[place])
        assert np.isclose(raw, float(before), rtol=1e-3).any()


def test_what_the_page_looks_like_depends_on_the_reader(table_run: Path) -> None:
    page = report(table_run)
    assert "prefers-color-scheme: dark" in page
    assert "currentColor" in page
    assert "#010203" not in page
    assert "white-space: pre-wrap" in page  # commands are not cut
    assert re.search(r'<span class="kept">\[\d+\.\d\d %, \d+\.\d\d %\]</span>', page)


@pytest.mark.parametrize("epochs", [1, 2, 3, 30])
def test_epochs_are_integers(epochs: int) -> None:
    figure = figures.training_curve(range(1, epochs + 1), [0.5] * epochs)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels
    assert all(label.strip("\N{MINUS SIGN}").isdecimal() for label in labels if label)


def test_a_page_is_written_elsewhere(
    table_run: Path, tmp_path: Path, fails: Fails, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = RunFolder(table_run).report_path
    shutil.rmtree(inside.parent, ignore_errors=True)
    run("report", table_run, "--out", tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text().startswith("<!doctype html>")
    capsys.readouterr()
    run("report", table_run, "--out", "-")
    assert capsys.readouterr().out.startswith("<!doctype html>")
    fails("outside the run folder", "report", table_run, "--out", table_run / "config.json")
    assert not inside.exists()
    assert json.loads((table_run / "config.json").read_text())
    assert read_json(table_run / "record.json")["num_images"] == 8
