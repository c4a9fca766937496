"""The hands-on page, with Gradio: what is shown where, and what happens when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import randrange
from typing import Any

import gradio as gr
from markupsafe import Markup

from sparsecert.errors import InputError
from sparsecert.explore import words
from sparsecert.explore.panel import panel, problem, views, votes
from sparsecert.explore.session import Session, Settings
from sparsecert.explore.subject import Subject
from sparsecert.report.words import one_of

_HERE = Path(__file__).parent
_KEPT_SECONDS = 3600  # a page that nobody has touched for so long starts again
_MOST_SAMPLES = 10_000
_SMALLEST_ALPHA, _LARGEST_ALPHA = 0.001, 0.2
_HEADING = Markup(
    "<h1>How many {unit} does it take?</h1><p>{title}. A network sees this {one} again and again, "
    "each time only a few of its {unit}, and votes. Whoever changes a {single} reaches only the "
    "votes that see it. So it can be proved how many {unit} may change before the answer does. Try "
    "it: change some, and watch the votes.</p>"
)
_SETTINGS = Markup(
    "<h2>What it depends on</h2><p>Another setting draws new ablations and certifies again; below "
    "the votes stands what that cost. {alpha} is the error of one certificate: it does not cover "
    "the best of several.</p>"
).format(alpha=words.ALPHA)
# One thing at a time: there is one network, and a session is not made for several threads.
_IN_TURN: dict[str, Any] = {"concurrency_id": "session", "concurrency_limit": 1}
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LATEST: dict[str, Any] = {"trigger_mode": "always_last"}

# What events give: the session, the board, the panel, votes, ballots, and what went wrong.
Shown = tuple[Session | None, Any, Any, Any, Any, str]


def build(subject: Subject, settings: Settings) -> gr.Blocks:
    """The page of a run.

    Args:
        subject: the run.
        settings: that it begins with.
    """
    title = words.title_words(subject)
    with gr.Blocks(title=f"sparsecert: {title}", analytics_enabled=False) as page:
        names = {"unit": subject.unit, "single": one_of(subject.unit), "one": subject.one}
        _text(_HEADING.format(title=title, **names))
        session = gr.State(None, time_to_live=_KEPT_SECONDS)
        with gr.Row(elem_classes="sc-hands-on"):
            with gr.Column(min_width=320):
                number, another, blank = _chooser(subject)
                board = gr.HTML(
                    {},
                    html_template=_file("board.html"),
                    js_on_load=_file("board.js"),
                    apply_default_css=False,
                    elem_classes="sc-input",
                    shown={},
                )
                finish = gr.Button(words.finish_words(subject))
            with gr.Column(min_width=320):
                trouble, beside = _text(""), _text("", "sc-beside")
                with gr.Row():
                    attack = gr.Button(
                        "Attack by greedy", variant="primary", scale=3, min_width=140
                    )
                    end = gr.Button("Stop", scale=1, min_width=70)
                    afresh = gr.Button("Ask fresh ablations", scale=3, min_width=180)
                bars = _text("")
        ballots = _text("")
        _text(_SETTINGS)
        chosen = _settings(subject, settings)
        everything = [session, board, beside, bars, ballots, trouble]
        # Not the board, on which somebody may have gone on painting.
        reaction = [session, beside, bars, ballots, trouble]

        start, in_turn = partial(_start, subject), {**_IN_TURN, **_QUIET}
        given, inputs = [page.load, number.change], [session, number, *chosen]
        gr.on(given, start, inputs, everything, **in_turn, **_LATEST)
        another.click(lambda: randrange(len(subject.dataset)), None, number, **_QUIET)
        blank.click(partial(_blank, subject), [session, *chosen], everything, **in_turn)
        board.input(_change, [session, board], reaction, **in_turn, **_LATEST)
        finish.click(_finish, [session, *chosen], everything, **in_turn)
        attack.click(_greedy, session, everything, **in_turn)
        end.click(_stop, session, None, queue=False, **_QUIET)
        afresh.click(_ask_afresh, session, everything, **in_turn)
        changed = [setting.change for setting in chosen]
        gr.on(changed, _set, [session, *chosen], everything, **in_turn, **_LATEST)
    return page


def _chooser(subject: Subject) -> tuple[gr.Number, gr.Button, gr.Button]:
    """Which input, another one, and an empty one to draw on."""
    with gr.Row(elem_classes="sc-chooser"):
        label = f"Test {subject.one}, 0 to {len(subject.dataset) - 1}"
        return (
            gr.Number(0, label=label, precision=0, scale=2, min_width=180),
            gr.Button("Another one", min_width=90),
            gr.Button("Draw one", min_width=90, visible=subject.is_image),
        )


def _settings(subject: Subject, settings: Settings) -> list[Any]:
    """k, n, alpha and the rule, in the order of `Settings`."""
    with gr.Row():
        retained = gr.Slider(
            1,
            subject.most_retained,
            settings.num_retained,
            step=1,
            label=f"k: {subject.unit} that a ballot sees",
        )
        most = max(_MOST_SAMPLES, settings.num_samples)
        number = gr.Slider(
            min(100, settings.num_samples),
            most,
            settings.num_samples,
            step=1,
            label="n: ballots of a certificate, at most",
        )
    with gr.Row():
        alpha = gr.Slider(
            _SMALLEST_ALPHA,
            _LARGEST_ALPHA,
            settings.alpha,
            step=0.001,
            label=f"{words.ALPHA}: probability that a certificate is wrong",
        )
        rule = gr.Radio(list(subject.design.rules), value=settings.rule, label="Rule")
    return [retained, number, alpha, rule]


def _start(subject: Subject, session: Session | None, number: int | None, *settings: Any) -> Shown:
    def make() -> Session:
        if number is None:
            raise InputError(f"expected the number of a test {subject.one}, got none")
        image, true_class = subject.input(number)
        return Session(subject, image, Settings(*settings), true_class)

    return _told(session, make)


def _blank(subject: Subject, session: Session | None, *settings: Any) -> Shown:
    def make() -> Session:
        return Session(subject, subject.blank(), Settings(*settings), certified=False)

    return _told(session, make)


def _change(session: Session | None, sent: Any) -> tuple[Any, ...]:
    def make() -> Session:
        known = _known(session)
        # What was sent about an input that is not shown any more is passed over.
        if isinstance(sent, dict) and sent.get("number") == known.number:
            known.change(_changes(known, sent.get("changes")))
        return known

    kept, _, *reaction = _told(session, make)
    return kept, *reaction


def _changes(session: Session, sent: Any) -> dict[int, list[float]]:
    """Shares by entry, as `Session.change` takes them.

    Raises:
        InputError: for what the board does not send.
    """
    subject, changes = session.subject, dict[int, list[float]]()
    for change in sent if isinstance(sent, list) else [sent]:
        if not isinstance(change, list) or not change or not isinstance(change[0], int):
            raise InputError(f"expected changes as entries and their values, got {change!r}")
        entry, *values = change
        changes[entry] = values if subject.is_image else subject.table.shares(entry, values)
    return changes


def _finish(session: Session | None, *settings: Any) -> Shown:
    return _told(session, lambda: _known(session).finished(Settings(*settings)))


def _set(session: Session | None, *settings: Any) -> Shown:
    return _told(session, lambda: _known(session).with_settings(Settings(*settings)))


def _ask_afresh(session: Session | None) -> Shown:
    def make() -> Session:
        _known(session).ask_afresh()
        return _known(session)

    return _told(session, make)


def _greedy(session: Session | None) -> Iterator[Shown]:
    try:
        for _ in _known(session).greedy():
            yield _shown(session, busy=True)
    except InputError as error:
        yield _shown(session, str(error))
    else:
        yield _shown(session)


def _stop(session: Session | None) -> None:
    if session is not None:
        session.stop()


def _known(session: Session | None) -> Session:
    """The session; raises `InputError` where it has been forgotten."""
    if session is None:
        raise InputError("this page was left alone for too long; choose an input again")
    return session


def _told(session: Session | None, make: Callable[[], Session]) -> Shown:
    """What there is to see after something was done, or why it could not be done."""
    try:
        return _shown(make())
    except InputError as error:
        return _shown(session, str(error))


def _shown(session: Session | None, sentence: str = "", *, busy: bool = False) -> Shown:
    if session is None:
        return None, gr.skip(), gr.skip(), gr.skip(), gr.skip(), problem(sentence)
    return (
        session,
        gr.update(shown=_board(session, busy)),
        panel(session),
        votes(session),
        views(session),
        problem(sentence),
    )


def _board(session: Session, busy: bool) -> dict[str, Any]:
    """What `board.js` shows."""
    subject = session.subject
    state = {"number": session.number, "busy": busy, "locked": session.locked}
    if subject.is_image:
        return state | {
            "kind": "image",
            "shape": list(subject.shape),
            "original": session.original.flatten(1).T.tolist(),
            "changes": [[entry, *values] for entry, values in session.changes.items()],
        }
    now = subject.table.values(session.image)
    return state | {
        "kind": "table",
        "names": list(subject.table.names),
        "ranges": subject.table.ranges(),
        "original": [[value] for value in subject.table.values(session.original)],
        "changes": [[entry, now[entry]] for entry in session.changes],
    }


def _text(html: str, name: str | None = None) -> gr.HTML:
    return gr.HTML(html, apply_default_css=False, elem_classes=name)


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
