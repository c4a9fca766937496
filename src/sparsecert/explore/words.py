"""What the page says about an input, in sentences."""

from __future__ import annotations

from sparsecert.explore.session import Certificate, Session
from sparsecert.explore.subject import Subject
from sparsecert.report.words import one_of
from sparsecert.theory.prediction import ABSTAIN

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"


def certificate_words(session: Session) -> tuple[str, str]:
    """The certificate: what the input is, and what no change can do to it."""
    subject, found = session.subject, session.certificate
    if found is None:
        return (
            "A drawing",
            "Nothing is certified while you draw. Press "
            f"{_quoted(finish_words(subject))} when it is done.",
        )
    name = _named(subject, found.label)
    if found.radius < 0:
        return (
            "Undecided",
            f"The vote is too close to certify anything, even of the unchanged {subject.one}. "
            f"Most votes so far are for {name}.",
        )
    if found.radius == 0:
        return (
            f"This is {name}",
            f"That holds for this {subject.one} as it is. Of changes nothing is proved: even a "
            f"single {one_of(subject.unit)} might be enough to make it anything else.",
        )
    number = subject.counted(found.radius)
    return f"This is {name}", f"No change of {number}, to any values, can make it anything else."


def error_words(session: Session) -> str:
    """How sure the certificate is, and what the data set says."""
    found, true = session.certificate, session.true_class
    if found is None:
        return ""
    told = ""
    if found.radius >= 0:
        told = (
            f"Wrong with probability at most {session.settings.alpha:g}, over random ablations "
            "that were drawn afresh for it."
        )
    if true is None:
        return told
    agrees = found.label == session.subject.classes.index(true)
    if agrees:
        return f"{told} The data set says so too." if found.radius >= 0 else told
    return (
        f"{told} The data set says {_quoted(true)}: a certificate is about the answer not "
        "changing, not about its being right."
    )


def attack_words(session: Session) -> str:
    """What has become of the input since it was certified."""
    subject, found, number = session.subject, session.certificate, session.num_changed
    changed = f"{subject.counted(number)} changed"
    if found is None:
        return f"The vote now: {_named(subject, session.vote)}."
    if session.flipped:
        now = f"the vote says {_named(subject, session.vote)} now"
        if not number:
            return f"{_capital(now)}, before anything is changed: it is too close to call."
        if number <= found.radius:
            return (
                f"{changed}, and {now}, within the certified {found.radius}. These votes are no "
                "certificate; ask fresh ablations. Should they agree, the certificate was wrong."
            )
        return f"Flipped after {changed}: {now}. {_promised(subject, found)}"
    still = f"the vote still says {_named(subject, session.vote)}"
    if not number:
        edit = "Paint" if subject.is_image else "Edit"
        return f"Nothing is changed yet. {edit} {subject.unit} until the vote flips."
    if number <= found.radius:
        return f"{changed} of the certified {found.radius}: the answer cannot be another."
    return f"{changed}, and {still}. {_promised(subject, found)}"


def fresh_words(session: Session) -> str:
    """What fresh ablations said of the version, if somebody asked."""
    found = session.fresh
    if found is None:
        return ""
    cost = f"({found.ballots:,} ballots, {found.seconds:.1f} s)"
    if found.label == ABSTAIN:
        return f"Fresh ablations abstain: too close to call {cost}."
    return f"Fresh ablations say {_named(session.subject, found.label)} {cost}."


def cost_words(session: Session) -> str:
    """Ballots and seconds of the certificate, and of the last change."""
    found, pool = session.certificate, session.pool
    last = f"Pool: {pool.num_cast:,} ballots, {session.seconds:.2f} s."
    if pool.num_cast < len(pool.masks):
        last = (
            f"Last change: {pool.num_cast:,} of the pool's {len(pool.masks):,} ballots cast "
            f"again, {1000 * session.seconds:,.0f} ms."
        )
    if found is None:
        return last
    return f"Certificate: {found.ballots:,} ballots, {found.seconds:.2f} s. {last}"


def retained_words(subject: Subject, num_retained: int) -> str:
    """What is to be said about a k."""
    low, high = subject.trained_for
    d = subject.counted(subject.design.num_features)
    told = f"Every ballot sees k = {num_retained} of {d}."
    if low <= num_retained <= high:
        return told
    trained = f"k = {low}" if low == high else f"k from {low} to {high}"
    return (
        f"{told} The network was trained for {trained}: its certificates hold at any k, but it "
        "votes best where it was trained."
    )


def finish_words(subject: Subject) -> str:
    """What the button says that certifies the version."""
    return f"Certify this {subject.one} as it is now"


def title_words(subject: Subject) -> str:
    """What is explored."""
    config = subject.run.config
    return f"{config.dataset.rsplit('/', 1)[-1]}, {subject.design} {subject.unit}"


def _promised(subject: Subject, found: Certificate) -> str:
    if found.radius < 0:
        return "The certificate promised nothing."
    return f"The certificate promised {subject.counted(found.radius)}."


def _named(subject: Subject, label: int) -> str:
    return _quoted(subject.classes[label])


def _quoted(name: str) -> str:
    """Digits and letters would be lost in a sentence without quotes."""
    return f"“{name}”"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
