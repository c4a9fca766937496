"""From votes to predictions and certificates. Needs no network and no torch.

Counts of several looks are replayed: look by look, as they were or would have been read while
counting, up to the look at which the procedure stops. So what comes out depends on the ballots,
alpha and the rule, and not on how far the counting went on, for another rule or a smaller alpha. A
fixed number of samples is one look, and the paper's corollaries are read from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.designs.design import SampledDesign, check_rule_of, sampled
from sparsecert.designs.family import FixedAblation, check_family
from sparsecert.designs.threats import SPARSE, Threat, threat_of
from sparsecert.errors import InputError, TooFewSamplesWarning, as_integer, warn_if_large
from sparsecert.rules import check_family_rule, check_rule, fewest_unanimous
from sparsecert.theory.ballots import Ballots
from sparsecert.theory.majority import Certified
from sparsecert.theory.prediction import Named
from sparsecert.theory.schedule import ALPHA
from sparsecert.votes.tally import Tally

_NUMBERS_PER_CHUNK = 2**22


@dataclass(frozen=True)
class Prediction:
    """Predictions of a batch.

    Attributes:
        label: `(batch,)` classes, or `ABSTAIN`.
        counts: `(batch, classes)` votes.
        seed: names the streams of the ablations, so that they can be drawn again; None for fixed
            families, and for stored votes, whose procedure knows it.
        rule: by which votes were read.
    """

    label: NDArray[np.int64]
    counts: NDArray[np.int64]
    seed: int | None = None
    rule: str | None = None

    @property
    def num_samples(self) -> NDArray[np.int64]:
        """`(batch,)` ballots that were counted; for a fixed family the number of sets."""
        total: NDArray[np.int64] = self.counts.sum(axis=1)
        return total


@dataclass(frozen=True)
class Certification:
    """Certificates of a batch.

    Attributes:
        label: `(batch,)` classes selected from ablations of their own.
        radius: `(batch,)` units that may change without changing the smoothed classifier's
            class; -1 where even the unchanged input is not certified, and `label` is a guess.
        lower_bound: `(batch,)` lower bounds, at confidence 1 - alpha, on the label's share of the
            votes; under the pairwise rule, on its share against its strongest rival. (Margin
            leaves half of alpha to this bound. Sequentially, majority and pairwise give the
            largest threshold of a radius that the share was shown to exceed, or 0.)
        tally: the votes the bounds were computed from.
        alpha: error probability of each certificate; 0 where it holds with certainty.
        seed: as of a `Prediction`.
        rule: by which votes were read.
        threat: what the radius is against; where its sizes are listed, how many are withstood.
    """

    label: NDArray[np.int64]
    radius: NDArray[np.int64]
    lower_bound: NDArray[np.float64]
    tally: Tally
    alpha: float
    seed: int | None = None
    rule: str | None = None
    threat: Threat = field(default_factory=Threat)

    @property
    def num_samples(self) -> NDArray[np.int64]:
        """`(batch,)` ballots that estimated the share; for a fixed family the number of sets."""
        return self.tally.num_samples

    @classmethod
    def concatenate(cls, parts: Sequence[Certification]) -> Certification:
        """One batch after the other, certified in the same way."""
        return replace(
            parts[0],
            label=np.concatenate([part.label for part in parts]),
            radius=np.concatenate([part.radius for part in parts]),
            lower_bound=np.concatenate([part.lower_bound for part in parts]),
            tally=Tally.concatenate([part.tally for part in parts]),
        )


@dataclass(frozen=True)
class Stop:
    """Where counting stops.

    Attributes:
        look: `(batch,)` the look, from 0: the first at which all is decided, or the last there is.
        finished: `(batch,)` whether all is decided there, or the budget is spent; if not, more
            ballots may tell more.
    """

    look: NDArray[np.int64]
    finished: NDArray[np.bool_]


def certify_tally(
    tally: Tally | ArrayLike,
    label: ArrayLike,
    ablation: SampledDesign,
    alpha: float = ALPHA,
    rule: str = "majority",
    top: int = 1,
    target: int | None = None,
) -> Certification:
    """Certify labels from stored votes.

    Each certificate is wrong with probability at most alpha, wherever counting stopped, provided
    that `label` was chosen without looking at `tally`.

    Args:
        tally: votes on samples drawn from `ablation`; or their number, `(batch, classes)`.
        label: `(batch,)` classes to certify.
        ablation: the design the samples were drawn from.
        alpha: error probability of each certificate.
        rule: "majority" (Corollary 1), "margin" (Corollary 2) or "pairwise".
        top: K: certify that the label stays among the top K, by margin (first choices) or pairwise.
        target: of votes at several looks, read those up to the look at which it is decided whether
            this radius is certified. Other radii may be smaller than need be.

    Returns:
        Certificates; their tally holds the votes up to each input's stop.

    Raises:
        InputError: for an unknown rule, alpha out of range, labels that do not match, votes
            without the head-to-head counts that the pairwise rule needs, or a target that nothing
            stops for or that not even all ballots together could certify.

    Warns:
        TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
        LargeAlphaWarning: for an alpha above one half.
    """
    sampled(ablation)
    tally = _as_tally(tally)
    labels = check_labels(tally, label)
    check_target(target, "fixed" if tally.looks is None else "sequential", top)
    if tally.looks is not None:
        check_reachable(target, tally.looks, tally.num_classes, ablation, alpha, rule)
    certified = certify_by_look(tally, labels, ablation, alpha, rule, top, target)
    if len(tally):
        most = tally.num_samples.min() if tally.looks is None else tally.looks[-1]
        warn_if_too_few(int(most), alpha, rule)
    warn_if_large(alpha)
    return certification_at(stop(tally, certified), tally, labels, certified, alpha, rule)


def certify_ballots(
    scores: ArrayLike,
    ablation: FixedAblation,
    rule: str = "plurality",
    *,
    threat: str | Threat = SPARSE,
    abstain: float = 0.0,
    top: int = 1,
    label: ArrayLike | None = None,
) -> Certification:
    """The smoothed classifier's classes and certificates, from the ballots of every retained set.

    The family is fixed, so nothing is sampled: the label *is* the smoothed classifier's class, and
    each certificate holds with probability one (`alpha` is 0). It holds for any base classifier
    whose ballot on set t depends on the input's units in t only, one network for all sets or one
    for each.

    Args:
        scores: `(batch, num_sets, classes)` logits, or any scores, of the base classifier on each
            retained set. Of equal scores the smaller class index ranks first.
        ablation: the family.
        rule: "plurality", "run-off" or "pairwise"; `theory` has statements and proofs.
        threat: "sparse", "patch:HxW" or "window:L" (`designs.threats`).
        abstain: ballots rank one class above another only if its score is higher by more than
            this; 0 for ballots that never abstain. Choose it on inputs that you do not report on,
            and for scores that it means something for: probabilities.
        top: K: certify that the label stays among the top K, by plurality or pairwise.
        label: `(batch,)` classes to certify, of any origin, such as the correct ones; by default
            the rule's.

    Returns:
        Labels; radii in units, -1 where the rule has no class of its own, or it is not the label;
        in `lower_bound` the share of the ballots of the rule's class: of the first choices, under
        run-off head to head against the other finalist, under pairwise against the strongest
        rival; first choices as `tally`. Under a threat with listed sizes a radius is how many of
        them are withstood, 0 if only the unchanged input is, which is certain.

    Raises:
        InputError: for NaN, a shape that does not match, an unknown rule or threat, one that is
            not for such inputs, or numbers out of range.
    """
    ballots = _checked_scores(scores, ablation)
    chosen, threat = check_family_rule(rule), threat_of(threat)
    reach = threat.reach(ablation)
    check_abstain(abstain)
    if abstain and not np.isfinite(ballots).all():
        raise InputError(
            "expected finite scores for ballots that abstain, such as probabilities; found infinity"
        )
    batch, _, classes = ballots.shape
    check_top(top, classes, rule, chosen.top is not None)
    first = ballots.argmax(axis=2)
    tally = Tally(np.stack([(first == c).sum(axis=1) for c in range(classes)], axis=1))
    wanted = None if label is None else check_labels(tally, label)
    found = np.empty(batch, dtype=np.int64)
    radius, share = found.copy(), np.empty(batch)
    size = max(1, _NUMBERS_PER_CHUNK // max(ballots[0].size if batch else 1, classes**2))
    for start in range(0, batch, size):
        part = slice(start, start + size)
        read = Ballots(ballots[part], reach, abstain)
        outcome = chosen.outcome(read)
        own = outcome.label if wanted is None else wanted[part]
        found[part], share[part] = own, outcome.share
        if chosen.top is not None and top > 1:
            radius[part] = chosen.top(read, own, top)
        else:
            radius[part] = np.where(own == outcome.label, outcome.radius, -1)
    # Only families in which nothing can change the class have a radius beyond the last attacker.
    radius = np.minimum(radius, reach.last)
    return Certification(found, radius, share, tally, 0.0, rule=rule, threat=threat)


def check_abstain(abstain: float) -> None:
    """Raise `InputError` for a threshold on differences of scores that is none."""
    if not 0 <= abstain < np.inf:
        raise InputError(f"expected abstain as a difference of scores, 0 or more, got {abstain}")


def check_top(top: int, num_classes: int, rule: str, has_top: bool) -> None:
    """Raise `InputError` for a K out of range, or a rule that has no top K."""
    if not 1 <= as_integer(top, "top") < num_classes:
        raise InputError(f"expected top from 1 to {num_classes - 1}, got {top}")
    if top > 1 and not has_top:
        raise InputError(
            "expected the rule pairwise, or plurality (fixed families) or margin (random "
            f"ablations), for the top {top}, got {rule}"
        )


def check_target(target: int | None, sampling: str, top: int = 1) -> None:
    """Raise `InputError` for a target that is no radius, or for which nothing stops."""
    if target is None:
        return
    if as_integer(target, "target") < 0:
        raise InputError(f"expected a target radius of at least 0, got {target}")
    if sampling != "sequential":
        raise InputError(
            "expected no target with a fixed number of samples, which does not stop before; choose "
            f"sequential sampling, or leave out the target {target}"
        )
    if top > 1:
        raise InputError(f"expected no target for the top {top}, which reads all votes there are")


def check_reachable(
    target: int | None,
    looks: tuple[int, ...],
    num_classes: int,
    ablation: SampledDesign,
    alpha: float,
    rule: str,
) -> None:
    """Raise `InputError` for a target that not even all ballots together could certify."""
    if target is None:
        return
    most = len(check_rule(alpha, rule).within_reach(ablation, looks[-1], num_classes, alpha)) - 1
    if target > most:
        raise InputError(
            f"expected a target from 0 to {most}, as far as this design and number of samples can "
            f"certify by the rule {rule}, got {target}"
        )


def predict_tally(
    tally: Tally | ArrayLike, alpha: float = ALPHA, rule: str = "majority"
) -> Prediction:
    """PREDICT, from counts: the class of the rule's smoothed classifier g, or an abstention.

    With probability at least 1 - alpha the answer is g(x), or an abstention, wherever counting
    stopped. "majority" and "margin", whose g answers with the class of most votes, name the top
    class unless the two-sided binomial test cannot tell it from the runner-up (Cohen, Rosenfeld
    and Kolter 2019); "pairwise" names the class that beats every other head to head, unless a test
    fails (`theory.prediction` has the proofs).

    Args:
        tally: votes; or their number, `(batch, classes)`.
        alpha: probability of a wrong answer.
        rule: a key of `rules.RULES`.

    Raises:
        InputError: for an unknown rule, alpha out of range, or votes without the head-to-head
            counts that the pairwise rule needs.

    Warns:
        LargeAlphaWarning: for an alpha above one half.
    """
    answer = prediction_of(_as_tally(tally), alpha, rule)
    warn_if_large(alpha)
    return answer


def prediction_of(tally: Tally, alpha: float, rule: str = "majority") -> Prediction:
    """PREDICT from a tally; attacks that must not abstain have reason to choose a large alpha."""
    named = name_by_look(tally, alpha, rule)
    return prediction_at(stop(tally, named), tally, named, rule)


def select_label(selection: Tally, rule: str = "majority") -> NDArray[np.int64]:
    """`(batch,)` classes to certify: what the rule's smoothed classifier most likely answers.

    A wrong choice costs a certificate, and cannot make a wrong one.

    Args:
        selection: votes on other ablations than the certificate will be computed from.
        rule: a key of `rules.RULES`.
    """
    return check_rule(0.5, rule).winner(selection)


def certify_by_look(
    tally: Tally,
    label: NDArray[np.int64],
    ablation: SampledDesign,
    alpha: float,
    rule: str,
    top: int = 1,
    target: int | None = None,
) -> Certified:
    """What is certified by each look; arguments are those of `certify_tally`."""
    chosen = check_rule(alpha, rule)
    check_rule_of(ablation, rule)
    check_top(top, tally.num_classes, rule, chosen.has_top)
    if tally.looks is None:
        return chosen.certify(tally, label, ablation, alpha, top)
    return chosen.certify_by_look(tally, label, ablation, alpha, top, target)


def name_by_look(tally: Tally, alpha: float, rule: str) -> Named:
    """What is named by each look; arguments are those of `predict_tally`."""
    chosen = check_rule(alpha, rule)
    return (chosen.predict if tally.looks is None else chosen.predict_by_look)(tally, alpha)


def stop(tally: Tally, *answers: Certified | Named) -> Stop:
    """Where counting stops: once each of these has been decided, at this look or before."""
    reached = tally.reached
    decided = np.ones(reached.shape, dtype=np.bool_)
    for answer in answers:
        decided &= np.logical_or.accumulate(answer.decided, axis=1)
    num_reached = reached.sum(axis=1)
    finished = decided.any(axis=1) | (num_reached == reached.shape[1])
    last = np.maximum(num_reached - 1, 0)
    return Stop(np.where(decided.any(axis=1), decided.argmax(axis=1), last), finished)


def certification_at(
    end: Stop,
    tally: Tally,
    label: NDArray[np.int64],
    certified: Certified,
    alpha: float,
    rule: str,
) -> Certification:
    """The certificates at a stop."""
    rows = np.arange(len(tally))
    radius, bound = certified.radius[rows, end.look], certified.lower_bound[rows, end.look]
    return Certification(label, radius, bound, tally.until(end.look), alpha, rule=rule)


def prediction_at(end: Stop, tally: Tally, named: Named, rule: str) -> Prediction:
    """The predictions at a stop."""
    label = named.label[np.arange(len(tally)), end.look]
    return Prediction(label, tally.until(end.look).votes, rule=rule)


def check_labels(tally: Tally, label: ArrayLike) -> NDArray[np.int64]:
    """One class for each input of the tally; raises `InputError` for anything else."""
    labels = np.asarray(label)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"expected labels to be integers, got dtype {labels.dtype}")
    if labels.shape != (len(tally),):
        raise InputError(f"expected one label for each of {len(tally)} rows, got {labels.shape}")
    if labels.size and not (labels.min() >= 0 and labels.max() < tally.num_classes):
        raise InputError(
            f"expected labels between 0 and {tally.num_classes - 1}, "
            f"got values from {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int64)


def warn_if_too_few(num_samples: int, alpha: float, rule: str) -> None:
    """Warn if not even a unanimous vote of `num_samples` could certify radius 0."""
    chosen = check_rule(alpha, rule)
    if chosen.unanimous(num_samples, alpha) > chosen.certain:
        return
    needed = fewest_unanimous(chosen, alpha, chosen.certain)
    warnings.warn(
        f"{num_samples} samples cannot certify anything at alpha = {alpha}, however the votes "
        f"fall; radius 0 takes {needed} or more",
        TooFewSamplesWarning,
        stacklevel=3,
    )


def _as_tally(counts: Tally | ArrayLike) -> Tally:
    """Counts as a tally, which checks them."""
    return counts if isinstance(counts, Tally) else Tally(np.asarray(counts))


def _checked_scores(scores: ArrayLike, ablation: FixedAblation) -> NDArray[np.floating]:
    check_family(ablation)
    ballots = np.asarray(scores)
    if ballots.dtype.kind not in "biuf":
        raise InputError(
            f"expected scores as a dense array of numbers, got {type(scores).__name__} of "
            f"{ballots.dtype}"
        )
    if not np.issubdtype(ballots.dtype, np.floating):
        ballots = ballots.astype(np.float64)
    if ballots.ndim != 3 or ballots.shape[1] != ablation.num_sets or ballots.shape[2] < 2:
        raise InputError(
            f"expected scores of shape (batch, {ablation.num_sets}, classes), one ballot for each "
            f"set of the family, and 2 classes or more, got {ballots.shape}"
        )
    if np.isnan(ballots).any():
        raise InputError("expected scores without NaN; were the networks trained to convergence?")
    return ballots
