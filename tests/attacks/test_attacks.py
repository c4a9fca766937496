"""What attacks find, against what there is to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.attacks import (
    AttackResult,
    PlainClassifier,
    Probe,
    exchange_attack,
    greedy_attack,
    pointwise_attack,
    sigma_zero_attack,
    sparse_rs_attack,
)
from sparsecert.attacks.early import EarlyAnswer
from sparsecert.attacks.exchange import fewer_and_fewer
from sparsecert.attacks.plain import PlainQueries
from sparsecert.attacks.query import InputUnits
from sparsecert.attacks.summary import within_certificate
from sparsecert.theory.confidence import clopper_pearson_lower
from tests.attacks.victims import D, K, alarm, dark_images, linear_problem, random_network
from tests.helpers.classifiers import images as noise

Attack = Callable[..., AttackResult]
ATTACKS: list[tuple[Attack, dict[str, Any]]] = [
    (pointwise_attack, {"repetitions": 4}),
    (sparse_rs_attack, {"steps": 40}),
    (sigma_zero_attack, {"steps": 40}),
    (greedy_attack, {"candidates": 6}),
    (exchange_attack, {"candidates": 6, "steps": 2}),
]
SMALL = Probe(num_samples=2_000, num_search=300, num_gradient=64)


def check_sizes(result: AttackResult, images: Tensor) -> None:
    """Sizes are what the images say, within [0, 1]."""
    for row in np.flatnonzero(result.success):
        changed = InputUnits(images[row]).changed(result.adversarial[row], images[row])
        assert changed.sum() == result.size[row]
    assert result.adversarial.min() >= 0
    assert result.adversarial.max() <= 1
    failed = ~result.success
    assert torch.equal(result.adversarial[failed], images[failed])


@pytest.mark.parametrize(
    ("attack", "options", "shape", "number", "most"),
    [
        (pointwise_attack, {}, (1, 8, 8), 12, 1.5),
        (pointwise_attack, {}, (50,), 8, 1.5),
        (sparse_rs_attack, {"steps": 100}, (1, 8, 8), 4, 1.3),
        (sigma_zero_attack, {}, (1, 8, 8), 7, 1.1),
        (sigma_zero_attack, {}, (3, 6, 6), 5, 1.1),
        (sigma_zero_attack, {}, (50,), 5, 1.1),
        (greedy_attack, {}, (1, 8, 8), 12, 1.0),
        (greedy_attack, {}, (3, 6, 6), 8, 1.0),
        (greedy_attack, {}, (50,), 8, 1.0),
        (exchange_attack, {"steps": 2}, (1, 8, 8), 6, 1.0),
        (exchange_attack, {"steps": 2}, (3, 6, 6), 4, 1.0),
        (exchange_attack, {"steps": 2}, (50,), 4, 1.0),
    ],
)
def test_sizes_are_near_the_optimum_of_a_linear_classifier(
    attack: Attack, options: dict[str, Any], shape: tuple[int, ...], number: int, most: float
) -> None:
    victim, images, labels, optimum = linear_problem(shape, number)
    assert optimum.min() >= 3
    result = attack(victim, images, labels, **options)
    check_sizes(result, images)
    assert result.success.all()
    assert (result.size >= optimum).all()
    assert np.median(result.size / optimum) <= most
    np.testing.assert_array_equal(result.label, 1 - labels)
    np.testing.assert_array_equal(victim.predict(result.adversarial), 1 - labels)


class Overlapping(nn.Module):
    """Class 1 where seven columns make 6: the first hides what the second and the last do."""

    def forward(self, x: Tensor) -> Tensor:
        alone = torch.tensor([3, 2.5, 1, 0.6, 0.6, 0.6, 0.5])
        together = 3.5 * x[:, 1] * x[:, 6] * (1 - x[:, 0])
        moved = x @ alone + together
        return torch.stack((6 - moved, torch.zeros_like(moved)), dim=1)


def test_an_exchange_finds_fewer_where_the_best_first_step_is_a_wrong_one() -> None:
    """Greedily 3, 2.5 and one more make 6, and none of them can be reset; so do 2.5 and 4."""
    victim, x = PlainClassifier(Overlapping(), 2), torch.zeros(1, 7)
    greedy, exchanged = (attack(victim, x, [0]) for attack in (greedy_attack, exchange_attack))
    assert greedy.size.tolist() == [3]
    assert greedy.adversarial[0, :2].tolist() == [1, 1]
    assert exchanged.adversarial.tolist() == [[0, 1, 0, 0, 0, 0, 1]]
    assert exchange_attack(victim, x, [0], 1).size.tolist() == [-1]
    assert exchange_attack(victim, x, [0], 2).size.tolist() == [2]


class Deceptive(nn.Module):
    """Class 1 where columns make 6: the first three do by themselves, but no gradient says so.

    The fourth and fifth do it together, unless the first is set.
    """

    def forward(self, x: Tensor) -> Tensor:
        curved = 2.19 * x[:, :3] ** 2 + 0.01 * x[:, :3]
        together = 5.5 * x[:, 3] * x[:, 4] * (1 - x[:, 0])
        others = 0.3 * x[:, 5:].sum(dim=1)
        moved = curved.sum(dim=1) + 0.5 * x[:, 3] + 0.1 * x[:, 4] + together + others
        return torch.stack((6 - moved, torch.zeros_like(moved)), dim=1)


def test_exchanges_begin_at_what_greedy_adds_too() -> None:
    """Of 48 candidates the first three columns are best; greedy's 24 leave them out."""
    victim, x = PlainClassifier(Deceptive(), 2), torch.zeros(1, 27)
    queries = PlainQueries(victim, x, 0)
    start = queries.version((torch.arange(27) < 3).float())
    stuck = fewer_and_fewer(queries, start, steps=2, candidates=48)
    assert {int(version.image.sum()) for version in stuck} == {3}
    result = exchange_attack(victim, x, [0], steps=2)
    assert result.adversarial[0].nonzero().flatten().tolist() == [3, 4]
    assert result.size.tolist() == greedy_attack(victim, x, [0]).size.tolist() == [2]


class Sum(nn.Module):
    """Class 1 where columns make 6."""

    def forward(self, x: Tensor) -> Tensor:
        moved = x @ torch.tensor([5, 4, 3, 1.1, 1])
        return torch.stack((6 - moved, torch.zeros_like(moved)), dim=1)


def test_where_no_fewer_fool_a_surer_image_of_the_same_size_is_found() -> None:
    queries = PlainQueries(PlainClassifier(Sum(), 2), torch.zeros(1, 5), 0)
    start = queries.version(torch.tensor([1.0, 0, 0, 1, 0]))
    found = fewer_and_fewer(queries, start, steps=2, candidates=5)
    assert [version.image.tolist() for version in found] == [[1, 0, 0, 1, 0], [1, 1, 0, 0, 0]]


def halved_radius(counts: NDArray[np.int64], alpha: float) -> NDArray[np.int64]:
    """A certificate that is wrong on purpose: Corollary 1 with half of Delta."""
    low = clopper_pearson_lower(counts, counts, alpha)
    shift = sc.ablation_shift(D, K, np.arange(D + 1)) / 2
    radius: NDArray[np.int64] = (low[:, None] - shift > 0.5).sum(axis=1) - 1
    return radius


@pytest.mark.parametrize("rule", ["majority", "pairwise"])
@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_attacks_stop_at_a_tight_certificate_and_catch_a_broken_one(
    attack: Attack, options: dict[str, Any], rule: str
) -> None:
    """3 attempts by each attack, on a classifier on which Theorem 1 leaves no room."""
    victim, images = alarm(), dark_images(3)
    labels = np.zeros(3, dtype=np.int64)
    certificate = victim.certify(images, num_samples=SMALL.num_samples, rule=rule)
    np.testing.assert_array_equal(certificate.radius, 3)
    result = attack(victim, images, labels, probe=replace(SMALL, rule=rule), **options)
    check_sizes(result, images)
    np.testing.assert_array_equal(result.size, 4)
    sound = within_certificate(result.size, result.label, certificate.radius)
    assert sound.attempts == 3
    assert len(sound.misclassified) + len(sound.abstained) == 0
    broken = halved_radius(certificate.tally.first_choice[:, 0], 0.05)
    caught = within_certificate(result.size, result.label, broken)
    assert len(caught.misclassified) + len(caught.abstained) == 3
    assert len(caught.misclassified) > 0


@pytest.mark.parametrize("rule", ["margin", "pairwise"])
def test_no_success_within_the_radius_of_a_random_network(rule: str) -> None:
    """8 images, five attacks: 40 attempts, and attacks that do succeed further out."""
    victim = random_network()
    images = noise(8, 5)
    certificate = victim.certify(images, num_samples=2_000, alpha=0.001, rule=rule)
    assert (certificate.radius >= 0).sum() >= 3
    probe = SMALL if rule == "margin" else replace(SMALL, rule=rule)
    succeeded = 0
    for attack, options in ATTACKS:
        result = attack(victim, images, certificate.label, probe=probe, **options)
        check_sizes(result, images)
        within = within_certificate(result.size, result.label, certificate.radius)
        assert len(within.misclassified) == 0
        succeeded += int((result.size > 0).sum())
    assert succeeded > 8


def test_an_abstention_is_a_success_but_contradicts_no_certificate() -> None:
    """With 200 ballots 3 of 36 pixels leave a lead too small for PREDICT, of the same class."""
    victim, images = alarm(), dark_images(4)
    probe = Probe(num_samples=200, num_search=200, num_gradient=64)
    certificate = victim.certify(images, num_samples=200)
    np.testing.assert_array_equal(certificate.radius, 3)
    result = pointwise_attack(victim, images, np.zeros(4, dtype=int), probe=probe)
    assert result.success.all()
    within = within_certificate(result.size, result.label, certificate.radius)
    assert len(within.misclassified) == 0
    assert len(within.abstained) > 0
    assert (result.label[within.abstained] == sc.ABSTAIN).all()


class Coin(nn.Module):
    """Votes by one retained pixel or another, whichever comes first: an even vote."""

    def forward(self, encoded: Tensor) -> Tensor:
        retained = encoded.sum(dim=1).flatten(1)
        return torch.stack((retained[:, 0], 1 - retained[:, 0]), dim=1)


def test_images_that_are_abstained_on_or_misclassified_have_size_zero() -> None:
    coin = sc.SmoothedClassifier(Coin(), sc.UniformAblation(D, D // 2), 2)
    images = dark_images(2)
    probe = Probe(num_samples=500)
    for attack, options in ATTACKS:
        result = attack(coin, images, np.zeros(2, dtype=int), probe=probe, **options)
        assert (result.size.tolist(), result.label.tolist()) == ([0, 0], [sc.ABSTAIN] * 2)
        wrong = attack(alarm(), images, np.ones(2, dtype=int), probe=probe, **options)
        assert (wrong.size.tolist(), wrong.label.tolist()) == ([0, 0], [0, 0])
        assert torch.equal(wrong.adversarial, images)
        assert wrong.queries.tolist() == wrong.confirmations.tolist() == [1, 1]


class Constant(nn.Module):
    """Always the same class, whose logit depends on the input just enough to have a gradient."""

    def forward(self, encoded: Tensor) -> Tensor:
        mean = encoded.flatten(1).mean(dim=1)
        return torch.stack((mean + 10, mean), dim=1)


@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_what_cannot_be_fooled_is_not_fooled_even_by_wrong_early_answers(
    attack: Attack, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = sc.SmoothedClassifier(Constant(), sc.UniformAblation(D, K), 2)
    images, labels = dark_images(1), np.zeros(1, dtype=int)
    probe = Probe(num_samples=100, num_search=100, num_gradient=16)
    options = {**options, "steps": 5} if "steps" in options else options
    result = attack(victim, images, labels, probe=probe, **options)
    assert result.size.tolist() == [-1]
    monkeypatch.setattr(EarlyAnswer, "__call__", lambda *arguments: True)
    monkeypatch.setattr("sparsecert.attacks.ballots.BallotQueries._lead_of", lambda *_: -1.0)
    result = attack(victim, images, labels, probe=probe, **options)
    assert result.size.tolist() == [-1]
    assert result.confirmations[0] > 1  # it did believe that it had found something


@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_results_do_not_depend_on_batch_order_or_pass(
    attack: Attack, options: dict[str, Any]
) -> None:
    """A gradient is a sum over a pass, whose rounding depends on its size."""
    images, labels = dark_images(2), np.zeros(2, dtype=int)
    probe = Probe(num_samples=300, num_search=200, num_gradient=32)
    options = {name: value // 2 for name, value in options.items()}
    together = attack(alarm(), images, labels, probe=probe, indices=[5, 6], **options)
    victim = alarm()
    victim.ballots_per_pass = None if attack is sigma_zero_attack else 50
    for row in (1, 0):
        part = slice(row, row + 1)
        alone = attack(
            victim, images[part], labels[part], probe=probe, indices=[5 + row], **options
        )
        assert torch.equal(alone.adversarial[0], together.adversarial[row])
        for name in ("size", "label", "queries", "drawn", "cached", "skipped"):
            assert getattr(alone, name)[0] == getattr(together, name)[row]
    other = attack(alarm(), images, labels, probe=probe, indices=[5, 6], seed=1, **options)
    assert not torch.equal(other.adversarial, together.adversarial)


def test_a_budget_is_kept() -> None:
    victim, images, labels, optimum = linear_problem((1, 8, 8), 2)
    for attack, options in ATTACKS:
        result = attack(victim, images, labels, int(optimum.min()) - 1, **options)
        assert result.size.tolist() == [-1] * 2
        most = 2 * int(optimum.max())
        result = attack(victim, images, labels, most, **options)
        assert (~result.success | ((result.size >= optimum) & (result.size <= most))).all()
        assert result.success.any()


def test_pointwise_ends_where_no_single_pixel_can_be_reset() -> None:
    victim, images, labels, _ = linear_problem((1, 8, 8), 4)
    result = pointwise_attack(victim, images, labels, repetitions=3)
    for row in np.flatnonzero(result.success):
        changed = np.flatnonzero(
            InputUnits(images[row]).changed(result.adversarial[row], images[row])
        )
        for feature in changed:
            reset = result.adversarial[row].clone()
            reset.view(-1)[feature] = images[row].view(-1)[feature]
            assert victim.predict(reset[None])[0] == labels[row]


def test_more_repetitions_are_not_worse_and_an_empty_batch_is_empty() -> None:
    victim, images, labels, _ = linear_problem((1, 8, 8), 8)
    one, ten = (pointwise_attack(victim, images, labels, repetitions=number) for number in (1, 10))
    assert ten.success.sum() >= one.success.sum()
    assert ten.size[one.success].mean() < one.size[one.success].mean()
    empty = pointwise_attack(victim, images[:0], labels[:0])
    assert len(empty.size) == len(empty.adversarial) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": [0, 2]}, "labels in 0..1, got values from 0 to 2"),
        ({"labels": [-1, 0]}, "labels in 0..1"),
        ({"labels": [0]}, "one integer label for each of 2 images"),
        ({"labels": [0.0, 1.0]}, "one integer label"),
        ({"budget": 0}, "budget of at least 1"),
        ({"indices": [1]}, "one index for each"),
        ({"seed": -1}, "seed"),
        ({"images": torch.zeros(2, 1, 5, 5)}, "36 pixels"),
        ({"images": torch.full((2, 1, 6, 6), 2.0)}, r"\[0, 1\]"),
        ({"images": torch.zeros(2, 6, 6)}, "shape"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_gets_a_sentence(change: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"images": dark_images(2), "labels": [0, 0], "probe": SMALL}
    for attack, _ in ATTACKS:
        with pytest.raises(sc.InputError, match=sentence):
            attack(alarm(), **{**arguments, **change})


def test_bad_options_get_a_sentence() -> None:
    with pytest.raises(sc.InputError, match="repetitions"):
        pointwise_attack(alarm(), dark_images(1), [0], repetitions=0)
    for attack in (sparse_rs_attack, sigma_zero_attack, exchange_attack):
        with pytest.raises(sc.InputError, match="steps"):
            attack(alarm(), dark_images(1), [0], steps=0)
    for options in ({"num_samples": 0}, {"alpha": 1.0}, {"num_search": 0}, {"num_gradient": 0}):
        with pytest.raises(sc.InputError):
            Probe(**options)
    with pytest.raises(sc.InputError, match=r"scores of shape \(1, 3\)"):
        pointwise_attack(PlainClassifier(nn.Flatten(), 3), dark_images(1), [0])
