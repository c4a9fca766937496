"""What stands beside the input: sentences, votes, and what single ballots saw. As HTML."""

from __future__ import annotations

import base64
import io
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sparsecert.explore import words
from sparsecert.explore.session import Session

_MOST_BARS = 10
_NUM_PICTURES, _NUM_ROWS = 12, 6  # of ballots that are shown
_HIDDEN = 0.55, 0.72, 0.92  # what ablation hides, in every picture


def panel(session: Session) -> str:
    """The certificate, and what has become of it."""
    heading, certificate = words.certificate_words(session)
    found = session.certificate
    return _rendered(
        "panel.html",
        heading=heading,
        certificate=certificate,
        sure=words.error_words(session),
        attack=words.attack_words(session),
        fresh=words.fresh_words(session),
        unit=session.subject.unit,
        flipped=session.flipped,
        changed=session.num_changed,
        radius=None if found is None else max(found.radius, 0),
        scale=_scale(session),
    )


def votes(session: Session) -> str:
    """How the pool votes, and what it took."""
    return _rendered(
        "votes.html",
        bars=_bars(session),
        ballots=f"{len(session.pool.masks):,}",
        unit=session.subject.unit,
        cost=words.cost_words(session),
    )


def views(session: Session) -> str:
    """A few ballots: what each retained, and what it voted for."""
    subject, pool, vote = session.subject, session.pool, session.vote
    number = _NUM_PICTURES if subject.is_image else _NUM_ROWS
    seen = zip(pool.masks[:number].numpy(), pool.choices[:number].tolist(), strict=True)
    return _rendered(
        "views.html",
        views=[
            {
                "picture": _picture(session.image.numpy(), mask) if subject.is_image else None,
                "columns": None if subject.is_image else _columns(session, mask),
                "name": subject.classes[choice],
                "won": choice == vote,
            }
            for mask, choice in seen
        ],
        retained=words.retained_words(subject, session.settings.num_retained),
    )


def problem(sentence: str) -> str:
    """What is wrong with what somebody entered; nothing for an empty sentence."""
    return _rendered("problem.html", sentence=sentence)


def _bars(session: Session) -> list[dict[str, Any]]:
    """Shares of first choices; of many classes those with the most."""
    votes = session.pool.tally.votes[0]
    order = np.arange(len(votes))
    if len(votes) > _MOST_BARS:
        order = np.argsort(-votes, kind="stable")[:_MOST_BARS]
    certified = -1 if session.certificate is None else session.certificate.label
    return [
        {
            "name": session.subject.classes[label],
            "percent": 100 * votes[label] / votes.sum(),
            "leads": int(label) == session.vote,
            "certified": int(label) == certified,
        }
        for label in order
    ]


def _scale(session: Session) -> int:
    """How many changed units the meter has room for."""
    radius = 0 if session.certificate is None else session.certificate.radius
    return max(10, 2 * radius, session.num_changed)


def _picture(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> str:
    """What a ballot saw of an image, as the address of a PNG."""
    height, width = image.shape[1:]
    pixels = np.broadcast_to(image.transpose(1, 2, 0), (height, width, 3)).copy()
    pixels[~mask.reshape(height, width)] = _HIDDEN
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _columns(session: Session, mask: NDArray[np.bool_]) -> str:
    """The names of the columns that a ballot saw."""
    names = session.subject.table.names
    return ", ".join(names[column] for column in np.flatnonzero(mask))


def _rendered(template: str, **shown: Any) -> str:
    return _TEMPLATES.get_template(template).render(shown)


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("sparsecert.explore", "."), autoescape=True, trim_blocks=True
)
