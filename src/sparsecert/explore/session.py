"""One input on the page: its certificate, the version that someone made of it, and the votes.

The certificate is computed from ablations of its own, drawn afresh each time. The votes that are
watched come from a pool that is drawn once for an input, so that they move with what is changed and
not by chance. They are no certificate: whoever paints sees them, and fits the input to the pool.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsecert.attacks.ballots import BallotQueries
from sparsecert.attacks.greedy import greedy_steps
from sparsecert.attacks.query import InputUnits
from sparsecert.certification import Certification
from sparsecert.designs.units import PROTECTED
from sparsecert.errors import InputError, as_integer
from sparsecert.explore.pool import Pool
from sparsecert.explore.subject import Subject
from sparsecert.rules import check_rule
from sparsecert.streams import fresh_seed
from sparsecert.theory.schedule import ALPHA

NUM_SELECTION, NUM_SAMPLES = 100, 1_000
_MOST_IN_POOL = 1_000
_GRADIENT_BALLOTS, _CANDIDATES = 128, 16
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Settings:
    """How votes are obtained and read.

    Attributes:
        num_retained: k.
        num_samples: n of a certificate, at most; sampling is sequential.
        alpha: of a certificate.
        rule: by which votes are read.
    """

    num_retained: int
    num_samples: int = NUM_SAMPLES
    alpha: float = ALPHA
    rule: str = "majority"


@dataclass(frozen=True)
class Answer:
    """What fresh ablations say, and what that took.

    Attributes:
        label: the class; `ABSTAIN` where a prediction abstains.
        ballots: that were cast.
        seconds: that they took.
    """

    label: int
    ballots: int
    seconds: float


@dataclass(frozen=True)
class Certificate(Answer):
    """The certificate of an input.

    Attributes:
        radius: in units; -1 for none.
        seed: of its ablations.
    """

    radius: int
    seed: int


class Session:
    """An input, and what is done to it.

    Args:
        subject: the run.
        original: the input.
        settings: of votes and certificates.
        true_class: the class that a data set says the input is of, if one does.
        version: of the input, that someone has made already; the input itself by default.
        certified: whether the input is certified now; a drawing is not before it is finished.

    Attributes:
        number: tells sessions apart.
        certificate: of the original; None while it is drawn.
        fresh: what fresh ablations say of the version, where someone has asked.
        seconds: that the last change took.

    Raises:
        InputError: for settings out of range, or an input that the run does not take.
    """

    def __init__(
        self,
        subject: Subject,
        original: Tensor,
        settings: Settings,
        true_class: str | None = None,
        *,
        version: Tensor | None = None,
        certified: bool = True,
    ) -> None:
        self.subject, self.original, self.settings = subject, original, settings
        self.number, self.true_class = next(_NUMBERS), true_class
        self.fresh: Answer | None = None
        self._stopped = False
        self._rule = check_rule(settings.alpha, settings.rule)
        self._smoothed = subject.classifier(settings.num_retained)
        self.units = InputUnits(original, subject.design.owner)
        self.certificate = self._certify() if certified else None
        start = time.perf_counter()
        number = min(as_integer(settings.num_samples, "n"), _MOST_IN_POOL)
        shown = original if version is None else version
        self.pool = Pool(self._smoothed, shown, number, fresh_seed())
        self.seconds = time.perf_counter() - start

    @property
    def image(self) -> Tensor:
        """The version that the votes are about."""
        return self.pool.image

    @property
    def num_changed(self) -> int:
        """Units that differ from the original."""
        return self.units.num_changed(self.image, self.original)

    @property
    def vote(self) -> int:
        """The class that the pool's ballots give the version, by the rule."""
        return int(self._rule.winner(self.pool.tally)[0])

    @property
    def flipped(self) -> bool:
        """Whether that is another class than the certified one."""
        return self.certificate is not None and self.vote != self.certificate.label

    @property
    def locked(self) -> list[int]:
        """Entries that nobody can change."""
        owner = self.subject.design.owner
        return [] if owner is None else np.flatnonzero(owner == PROTECTED).tolist()

    @property
    def changes(self) -> dict[int, list[float]]:
        """The entries that differ from the original, and their values, one for each channel."""
        entries = InputUnits(self.original).changed(self.image, self.original)
        values = self.image.reshape(-1, len(entries))
        return {int(e): values[:, e].tolist() for e in np.flatnonzero(entries)}

    def change(self, changes: Mapping[int, Sequence[float]]) -> None:
        """Make the version that differs from the original in these entries, and vote on it.

        Args:
            changes: values by entry, one for each channel; NaN for a missing column.

        Raises:
            InputError: for entries that are not there or protected, or values that are no shares.
        """
        values = self.original.clone().reshape(-1, self.units.num_entries)
        locked = set(self.locked)
        for entry, new in changes.items():
            if not 0 <= entry < self.units.num_entries or len(new) != len(values):
                raise InputError(
                    f"expected changes of entries from 0 to {self.units.num_entries - 1}, with "
                    f"{len(values)} values each, got {len(new)} values for {entry}"
                )
            if entry in locked:
                raise InputError(f"entry {entry} is protected: nobody can change it")
            if not all(isinstance(value, int | float) for value in new):
                raise InputError(f"expected numbers as values of entry {entry}, got {new}")
            values[:, entry] = torch.tensor(new)
        self._show(values.reshape(self.original.shape))

    def finished(self, settings: Settings) -> Session:
        """A session on the version as it is, as on a new input."""
        return Session(self.subject, self.image, settings)

    def with_settings(self, settings: Settings) -> Session:
        """The same input and version under other settings."""
        return Session(
            self.subject,
            self.original,
            settings,
            self.true_class,
            version=self.image,
            certified=self.certificate is not None,
        )

    def ask_afresh(self) -> None:
        """PREDICT on the version, from fresh ablations."""
        start, how = time.perf_counter(), self.settings
        found = self._smoothed.predict(
            self.image[None], how.num_samples, how.alpha, rule=how.rule, sampling="sequential"
        )
        seconds = time.perf_counter() - start
        self.fresh = Answer(int(found.label[0]), int(found.num_samples[0]), seconds)

    def stop(self) -> None:
        """Let an attack end after its step; this alone may be called from another thread."""
        self._stopped = True

    def greedy(self) -> Iterator[None]:
        """Attack the original as `sparsecert attack --attack greedy` does, until the vote flips.

        After each step the version is that of the attack. It is guided by ballots of its own, so
        the pool that is watched was not searched. Unlike the command it does not take back what
        need not have been changed.

        Raises:
            InputError: where nothing is certified that could be attacked.
        """
        if self.certificate is None:
            raise InputError("expected an image that is certified, before it is attacked")
        self._stopped = False
        self._show(self.original)
        queries = BallotQueries(
            self._smoothed,
            self.original[None],
            self.certificate.label,
            num_samples=len(self.pool.masks),
            alpha=self.settings.alpha,
            seed=fresh_seed(),
            index=0,
            num_gradient=_GRADIENT_BALLOTS,
            rule=self._rule.predicts_as,
        )
        start = queries.version(self.original)
        for version in greedy_steps(queries, start, self.units.number, _CANDIDATES, queries.lead):
            self._show(version.image)
            yield
            if self._stopped or self.flipped:
                return

    def _show(self, image: Tensor) -> None:
        start = time.perf_counter()
        self.pool.show(image)
        self.seconds, self.fresh = time.perf_counter() - start, None

    def _certify(self) -> Certificate:
        start, how = time.perf_counter(), self.settings
        found: Certification = self._smoothed.certify(
            self.original[None],
            NUM_SELECTION,
            how.num_samples,
            how.alpha,
            rule=how.rule,
            sampling="sequential",
        )
        assert found.seed is not None
        return Certificate(
            label=int(found.label[0]),
            ballots=NUM_SELECTION + int(found.num_samples[0]),
            seconds=time.perf_counter() - start,
            radius=int(found.radius[0]),
            seed=found.seed,
        )
