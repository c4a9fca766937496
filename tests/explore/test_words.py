"""What the page says, at each turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparsecert.explore import words
from sparsecert.explore.panel import panel, views, votes
from sparsecert.explore.session import Answer, Certificate, Session, Settings
from sparsecert.explore.subject import Subject


def certified(session: Session, label: int, radius: int) -> Session:
    session.certificate = Certificate(label, 400, 0.1, radius, 0)
    return session


@pytest.mark.parametrize(
    ("radius", "heading", "sentence"),
    [
        (8, "This is “{}”", "No change of 8 pixels, to any values, can make it anything else."),
        (1, "This is “{}”", "No change of 1 pixel, to any values, can make it anything else."),
        (0, "This is “{}”", "even a single pixel might be enough"),
        (-1, "Undecided", "too close to certify anything"),
    ],
)
def test_certificates(session: Session, radius: int, heading: str, sentence: str) -> None:
    found = words.certificate_words(certified(session, session.vote, radius))
    assert found[0] == heading.format(session.subject.classes[session.vote])
    assert sentence in found[1]
    assert ("Wrong with probability at most 0.05" in words.error_words(session)) == (radius >= 0)


def test_the_data_set_is_heard(session: Session) -> None:
    own = session.subject.classes.index(str(session.true_class))
    assert "The data set says so too." in words.error_words(certified(session, own, 3))
    other = certified(session, (own + 1) % 10, 3)
    assert f"The data set says “{session.true_class}”" in words.error_words(other)


def test_attacks_are_told_at_every_turn(session: Session) -> None:
    own, other = session.vote, (session.vote + 1) % 10
    name = session.subject.classes[own]
    certified(session, own, 2)
    assert words.attack_words(session).startswith("Nothing is changed yet. Paint pixels")
    session.change({0: [0.01]})
    assert words.attack_words(session) == (
        "1 pixel changed of the certified 2: the answer cannot be another."
    )
    session.change({entry: [0.01] for entry in (0, 8, 16)})
    assert session.vote == own
    assert words.attack_words(session) == (
        f"3 pixels changed, and the vote still says “{name}”. The certificate promised 2 pixels."
    )
    assert words.attack_words(certified(session, other, 2)) == (
        f"Flipped after 3 pixels changed: the vote says “{name}” now. The certificate promised "
        "2 pixels."
    )
    assert "within the certified 5" in words.attack_words(certified(session, other, 5))
    assert words.attack_words(certified(session, own, -1)).endswith(
        "The certificate promised nothing."
    )
    session.change({})
    told = words.attack_words(certified(session, other, 0))
    assert (
        told == f"The vote says “{name}” now, before anything is changed: it is too close to call."
    )


def test_drawings(digits: Subject) -> None:
    drawing = Session(digits, digits.blank(), Settings(12, 100), certified=False)
    assert words.certificate_words(drawing)[0] == "A drawing"
    assert words.error_words(drawing) == ""
    assert words.attack_words(drawing).startswith("The vote now: “")
    assert words.cost_words(drawing).startswith("Pool: 100 ballots")


def test_columns_and_cells(rows: Subject) -> None:
    session = Session(rows, rows.input(0)[0], Settings(8, 100))
    assert "No change of 2 columns" in words.certificate_words(certified(session, 0, 2))[1]
    assert words.attack_words(certified(session, session.vote, 2)).endswith(
        "Edit columns until the vote flips."
    )
    assert words.title_words(rows) == "breast-cancer, k = 8 of 30 columns"
    retained = np.flatnonzero(session.pool.masks[0])  # other ones each time
    assert len(retained) == 8
    assert ", ".join(rows.table.names[column] for column in retained) in views(session)


def test_fresh_answers_and_costs(session: Session) -> None:
    assert words.fresh_words(session) == ""
    session.fresh = Answer(-1, 1_234, 0.25)
    abstains = "Fresh ablations abstain: too close to call (1,234 ballots, 0.2 s)."
    assert words.fresh_words(session) == abstains
    session.fresh = Answer(3, 1_234, 0.25)
    assert words.fresh_words(session) == "Fresh ablations say “3” (1,234 ballots, 0.2 s)."
    assert words.fresh_words(session) in panel(session)
    session.change({0: [1.0]})
    cast = session.pool.num_cast
    assert f"{cast} of the pool's 300 ballots cast again" in words.cost_words(session)


def test_other_k_than_trained(digits: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words.retained_words(digits, 12) == "Every ballot sees k = 12 of 64 pixels."
    assert "The network was trained for k = 12:" in words.retained_words(digits, 20)
    many = replace(digits.run.config.recipe, retained_range=(0.5, 2.0))
    monkeypatch.setitem(vars(digits.run), "config", replace(digits.run.config, recipe=many))
    assert words.retained_words(digits, 20) == "Every ballot sees k = 20 of 64 pixels."
    assert "trained for k from 6 to 24:" in words.retained_words(digits, 30)


def test_names_are_no_markup(session: Session) -> None:
    classes = ("<script>alert(1)</script>",) * 10
    session.true_class, before = None, session.subject.classes
    session.subject.classes = classes
    try:
        shown = panel(session) + votes(session) + views(session)
    finally:
        session.subject.classes = before
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
