"""The rules that certify randomised designs: what each reads from a tally, and asks of theory.

A rule turns ballots into a prediction. Statements and proofs are in `theory`, which knows arrays
alone; here is what they are given. A new rule is a file there and a class here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsecert.designs.design import SampledDesign
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import MOST_SAMPLES, InputError, as_integer, check_alpha
from sparsecert.theory.ballots import Ballots, Outcome
from sparsecert.theory.confidence import clopper_pearson_lower
from sparsecert.theory.majority import (
    Certified,
    largest_certified,
    majority_certificate,
    share_certificate,
)
from sparsecert.theory.margin import margin_by_look, margin_certificate, margin_lead
from sparsecert.theory.pairwise import (
    pairwise_certificate,
    pairwise_family,
    top_pairwise,
    top_pairwise_certificate,
)
from sparsecert.theory.plurality import plurality, top_by_first_choices
from sparsecert.theory.prediction import (
    Named,
    name_top,
    name_top_by_look,
    name_winner,
    name_winner_by_look,
)
from sparsecert.theory.run_off import run_off
from sparsecert.votes.tally import Tally, of_label


@dataclass(frozen=True)
class Rule:
    """A rule whose certificate asks for a share of ballots.

    Attributes:
        name: what commands and files call it.
        counts: what a tally says of each class: ballots for it, of the shape of first choices.
        wins: what it says of a label at several looks: `(batch, looks, rivals)` ballots for it.
        winner: `(batch,)` what the smoothed classifier most likely answers.
        certify_share: the statement, for a fixed number of samples.
        needs_rankings: whether first choices do not suffice.
    """

    name: str
    counts: Callable[[Tally], NDArray[np.int64]]
    wins: Callable[[Tally, NDArray[np.int64]], NDArray[np.int64]]
    winner: Callable[[Tally], NDArray[np.int64]]
    certify_share: Callable[..., Certified] = majority_certificate
    needs_rankings: bool = False
    certain: ClassVar[float] = 0.5  # the threshold of radius 0, where nothing is changed

    def among_top(self, tally: Tally, label: NDArray[np.int64], top: int) -> NDArray[np.bool_]:
        """`(batch,)` whether the label is among the top K of the counted ballots; see `has_top`."""
        latest = tally.latest
        lost = 2 * self.wins(latest, label)[:, 0] <= latest.num_samples[:, None]
        return np.asarray(lost.sum(axis=1) < top)

    @property
    def predicts_as(self) -> str:
        """The rule whose PREDICT it shares."""
        return "pairwise" if self.needs_rankings else "majority"

    @property
    def has_top(self) -> bool:
        """Whether it certifies that a class stays among the top K."""
        return self.needs_rankings

    def certify(
        self,
        tally: Tally,
        label: NDArray[np.int64],
        design: SampledDesign,
        alpha: float,
        top: int = 1,
    ) -> Certified:
        """Certificates from a fixed number of samples."""
        total = tally.num_samples
        thresholds = _up_to(total, design, alpha)
        if top > 1:
            wins = self.wins(tally, label)[:, 0]
            return top_pairwise_certificate(wins, total, thresholds, alpha, top)
        return self.certify_share(of_label(self.counts(tally), label), total, thresholds, alpha)

    def certify_by_look(
        self,
        tally: Tally,
        label: NDArray[np.int64],
        design: SampledDesign,
        alpha: float,
        top: int = 1,
        target: int | None = None,
    ) -> Certified:
        """Certificates where counts are looked at as they grow.

        With a target all is decided once it is known whether that radius will be certified.
        """
        wins, looks = self.wins(tally, label), np.array(tally.looks)

        def read(thresholds: NDArray[np.float64]) -> Certified:
            return share_certificate(wins, tally.reached, looks, thresholds, alpha, top)

        return _up_to_target(read, _up_to(looks, design, alpha), target)

    def within_reach(
        self, design: SampledDesign, num_samples: int, num_classes: int, alpha: float
    ) -> NDArray[np.float64]:
        """Thresholds by radius, as far as so many ballots for one class could certify."""
        return _up_to(np.array([num_samples]), design, alpha)

    def predict(self, tally: Tally, alpha: float) -> Named:
        """PREDICT from a fixed number of samples."""
        if self.needs_rankings:
            return name_winner(self.counts(tally), tally.num_samples, alpha)
        return name_top(self.counts(tally), alpha)

    def predict_by_look(self, tally: Tally, alpha: float) -> Named:
        """PREDICT where counts are looked at as they grow."""
        named = name_winner_by_look if self.needs_rankings else name_top_by_look
        return named(self.counts(tally), tally.reached, np.array(tally.looks), alpha)

    def unanimous(self, num_samples: int, alpha: float) -> float:
        """What all of so many ballots show, to be compared with thresholds."""
        return float(clopper_pearson_lower(num_samples, num_samples, alpha))

    def thresholds(self, design: UniformAblation) -> NDArray[np.float64]:
        """By radius, of random ablation."""
        return design.share_thresholds()


class LeadRule(Rule):
    """A rule whose certificate asks for a lead over the strongest rival.

    Of two classes the lead over the only rival is decided by the class's share.
    """

    certain: ClassVar[float] = 0.0

    @property
    def has_top(self) -> bool:
        """By first choices it does."""
        return True

    def certify(
        self,
        tally: Tally,
        label: NDArray[np.int64],
        design: SampledDesign,
        alpha: float,
        top: int = 1,
    ) -> Certified:
        """Certificates from a fixed number of samples."""
        if tally.num_classes == 2:
            return super().certify(tally, label, design, alpha)
        votes, rivals = _label_and_rivals(self.counts(tally), label, top)
        return margin_certificate(votes, rivals, tally.num_samples, _leads(design), alpha)

    def certify_by_look(
        self,
        tally: Tally,
        label: NDArray[np.int64],
        design: SampledDesign,
        alpha: float,
        top: int = 1,
        target: int | None = None,
    ) -> Certified:
        """Certificates where counts are looked at as they grow."""
        if tally.num_classes == 2:
            return super().certify_by_look(tally, label, design, alpha, target=target)
        votes, rivals = _label_and_rivals(self.counts(tally), label, top)
        looks = np.array(tally.looks)

        def read(thresholds: NDArray[np.float64]) -> Certified:
            return margin_by_look(votes, rivals, tally.reached, looks, thresholds, alpha)

        return _up_to_target(read, _leads(design), target)

    def within_reach(
        self, design: SampledDesign, num_samples: int, num_classes: int, alpha: float
    ) -> NDArray[np.float64]:
        """Thresholds by radius, as far as so many ballots for one class could certify."""
        if num_classes == 2:
            return super().within_reach(design, num_samples, num_classes, alpha)
        leads = _leads(design)
        last = int(largest_certified(leads, self.unanimous(num_samples, alpha)))
        return leads[: max(0, last) + 1]

    def among_top(self, tally: Tally, label: NDArray[np.int64], top: int) -> NDArray[np.bool_]:
        """`(batch,)` whether the label is among the top K of the counted ballots."""
        votes, rivals = _label_and_rivals(tally.votes, label, top)
        return np.asarray((rivals >= votes[:, None]).sum(axis=1) < top)

    def unanimous(self, num_samples: int, alpha: float) -> float:
        """What all of so many ballots show, with three classes or more."""
        lower_bound = clopper_pearson_lower(num_samples, num_samples, alpha / 2)
        return float(
            margin_lead(lower_bound, np.zeros(1, np.int64), np.asarray(num_samples), alpha)
        )

    def thresholds(self, design: UniformAblation) -> NDArray[np.float64]:
        """By radius, of random ablation."""
        return design.lead_thresholds()


def _first_choices(tally: Tally) -> NDArray[np.int64]:
    return tally.first_choice


def _own_first_choices(tally: Tally, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """One question for all rivals."""
    return of_label(tally.first_choice, label)[..., None]


def _top(tally: Tally) -> NDArray[np.int64]:
    return tally.top


def _pairwise_winner(tally: Tally) -> NDArray[np.int64]:
    """The class that beats every other head to head, or where there is none that of most votes."""
    winner = tally.pairwise_winner
    return np.where(winner < 0, tally.top, winner)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("majority", _first_choices, _own_first_choices, _top),
        LeadRule("margin", _first_choices, _own_first_choices, _top),
        Rule(
            "pairwise",
            lambda tally: tally.min_pairwise_wins,
            Tally.wins_of,
            _pairwise_winner,
            pairwise_certificate,
            needs_rankings=True,
        ),
    )
}


@dataclass(frozen=True)
class FamilyRule:
    """A rule of fixed families; what it says holds with certainty.

    Attributes:
        outcome: its classes and their radii.
        top: radii within which classes stay among the top K; None where the rule has no top K.
    """

    outcome: Callable[[Ballots], Outcome]
    top: Callable[[Ballots, NDArray[np.int64], int], NDArray[np.int64]] | None = None


FAMILY_RULES = {
    "plurality": FamilyRule(plurality, top_by_first_choices),
    "run-off": FamilyRule(run_off),
    "pairwise": FamilyRule(pairwise_family, top_pairwise),
}


def check_rule(alpha: float, rule: str) -> Rule:
    """The rule of that name; raises `InputError` for an unknown one, or alpha out of range."""
    check_alpha(alpha)
    if not isinstance(rule, str) or rule not in RULES:
        raise InputError(f"expected rule to be one of {', '.join(RULES)}, got {rule!r}")
    return RULES[rule]


def check_family_rule(rule: str) -> FamilyRule:
    """The rule of fixed families of that name; raises `InputError` for an unknown one."""
    if not isinstance(rule, str) or rule not in FAMILY_RULES:
        raise InputError(f"expected rule to be one of {', '.join(FAMILY_RULES)}, got {rule!r}")
    return FAMILY_RULES[rule]


def smallest_num_samples(
    d: int, k: int, radius: int, alpha: float, rule: str = "majority"
) -> int | None:
    """The fewest ablations with which a unanimous vote certifies `radius` features.

    Args:
        d: number of features.
        k: number of retained features.
        radius: in features, at least 0.
        alpha: error probability.
        rule: "majority", "pairwise", or "margin" with three classes or more.

    Returns:
        The number, or None where none is enough, because Delta(d, k, radius) >= 1/2.
    """
    chosen = check_rule(alpha, rule)
    if as_integer(radius, "radius") < 0:
        raise InputError(f"expected a radius of at least 0, got {radius}")
    thresholds = chosen.thresholds(UniformAblation(d, k))
    if radius >= len(thresholds):
        return None
    return fewest_unanimous(chosen, alpha, float(thresholds[radius]))


def fewest_unanimous(rule: Rule, alpha: float, threshold: float) -> int | None:
    """The fewest ballots that, all for one class, exceed a threshold; None if 2^31 - 1 do not."""
    if not rule.unanimous(MOST_SAMPLES, alpha) > threshold:
        return None
    too_few, many = 0, MOST_SAMPLES
    while many - too_few > 1:
        middle = (too_few + many) // 2
        enough = rule.unanimous(middle, alpha) > threshold
        too_few, many = (too_few, middle) if enough else (middle, many)
    return many


def _up_to(totals: NDArray[np.int64], design: SampledDesign, alpha: float) -> NDArray[np.float64]:
    """The design's thresholds of shares, as far as so many ballots can show."""
    most = int(totals.max(initial=1))
    return design.share_thresholds(float(clopper_pearson_lower(most, most, alpha)))


def _up_to_target(
    read: Callable[[NDArray[np.float64]], Certified],
    thresholds: NDArray[np.float64],
    target: int | None,
) -> Certified:
    """What is certified by these thresholds, decided as soon as the target is.

    Only where counting stops depends on it (`theory.boundaries`, Statement 2), and where only some
    thresholds are tested, that the target's is one of them. A target out of reach, as that of
    another rule may be, is as good as none.
    """
    certified = read(thresholds)
    if target is None or target >= len(thresholds):
        return certified
    alone = read(thresholds[target : target + 1])
    passed = alone.radius >= 0
    return Certified(
        radius=np.where(passed, np.maximum(certified.radius, target), certified.radius),
        lower_bound=np.maximum(certified.lower_bound, np.where(passed, alone.lower_bound, 0.0)),
        decided=passed | alone.decided,
    )


def _leads(design: SampledDesign) -> NDArray[np.float64]:
    if not isinstance(design, UniformAblation):
        raise InputError(f"expected the majority rule, the only one for {design.name}, got margin")
    return design.lead_thresholds()


def _label_and_rivals(
    first_choice: NDArray[np.int64], label: NDArray[np.int64], top: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Votes of each label, and, on a last axis, of its K strongest rivals."""
    rivals = first_choice.copy()
    places = label.reshape(-1, *[1] * (first_choice.ndim - 1))
    np.put_along_axis(rivals, places, -1, axis=-1)
    return of_label(first_choice, label), np.sort(rivals, axis=-1)[..., -top:]
