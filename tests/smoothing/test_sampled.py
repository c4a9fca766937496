from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.streams import Stage
from tests.helpers.classifiers import Brightness, images, perceptron
from tests.helpers.commands import printed_by
from tests.helpers.spaces import binary_images, distances
from tests.helpers.votes import RULES, SAMPLINGS, assert_same_votes, pairs_of

D, K, CLASSES = 16, 5, 3
ABLATION = sc.UniformAblation(D, K)


def smoothed(
    base: nn.Module | None = None, num_classes: int = CLASSES, **options: Any
) -> sc.SmoothedClassifier:
    base = perceptron() if base is None else base
    return sc.SmoothedClassifier(base, ABLATION, num_classes, **options)


def votes(
    classifier: sc.SmoothedClassifier, x: Tensor | None = None, n: int = 100, **options: Any
) -> sc.Tally:
    return classifier.tally(
        images() if x is None else x, n, Stage.ESTIMATION, **{"seed": 0} | options
    )


def test_votes_are_the_share_of_all_subsets() -> None:
    """Against enumeration: on a small space the exact share of votes is known."""
    x = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.0, 0.45, 0.3]])[:, None, None, :]
    subsets = itertools.combinations(x.flatten().tolist(), 3)
    bright = [sum(subset) > 1.5 for subset in subsets]
    classifier = sc.SmoothedClassifier(Brightness(), sc.UniformAblation(7, 3), 2)
    counts = votes(classifier, x, 20_000).first_choice[0]
    share = np.mean(bright)
    assert abs(counts[1] / 20_000 - share) < 5 * math.sqrt(share * (1 - share) / 20_000)


@settings(max_examples=20, deadline=None)
@given(st.integers(7, 700), st.permutations(range(6)), st.integers(0, 6))
def test_votes_depend_on_neither_pass_nor_order_nor_split(
    limit: int, order: list[int], split: int
) -> None:
    expected = votes(smoothed(), seed=3).take(np.array(order))
    assert pairs_of(expected).any()
    classifier = smoothed(ballots_per_pass=limit)
    parts = [
        votes(classifier, images()[part], seed=3, indices=part)
        for part in (order[:split], order[split:])
    ]
    assert_same_votes(sc.Tally.concatenate(parts), expected)


def test_selection_estimation_and_prediction_draw_different_ablations() -> None:
    x = images()
    classifier = smoothed()
    counts = [
        classifier.tally(x, 200, stage, seed=0).first_choice
        for stage in (Stage.SELECTION, Stage.ESTIMATION, Stage.PREDICTION)
    ]
    for one, other in itertools.combinations(counts, 2):
        assert (one != other).any()
    assert (classifier.tally(x, 200, Stage.ESTIMATION, seed=1).first_choice != counts[1]).any()


def test_certify_is_selection_then_estimation() -> None:
    x = images()
    classifier = smoothed()
    result = classifier.certify(x, num_selection=50, num_samples=300, seed=2)
    selection = classifier.tally(x, 50, Stage.SELECTION, seed=2)
    estimation = classifier.tally(x, 300, Stage.ESTIMATION, seed=2)
    np.testing.assert_array_equal(result.label, selection.top)
    np.testing.assert_array_equal(result.tally.first_choice, estimation.first_choice)
    again = sc.certify_tally(estimation, selection.top, ABLATION)
    np.testing.assert_array_equal(result.radius, again.radius)


def test_predict_counts_its_own_votes() -> None:
    x = images()
    prediction = smoothed().predict(x, num_samples=300, seed=2)
    expected = smoothed().tally(x, 300, Stage.PREDICTION, seed=2)
    np.testing.assert_array_equal(prediction.counts, expected.first_choice)
    np.testing.assert_array_equal(prediction.label, sc.predict_tally(expected).label)


def test_no_changed_image_within_the_radius_changes_class() -> None:
    """End to end: every binary image within the certified radius keeps the population's class."""
    d, k = 7, 1
    every = torch.from_numpy(binary_images(d)).float()[:, None, None, :]
    classifier = sc.SmoothedClassifier(Brightness(), sc.UniformAblation(d, k), 2)
    masks = torch.eye(d, dtype=torch.bool)
    share = np.array([classifier.base_answers(x[None], masks).mean() for x in every])
    result = classifier.certify(every, num_selection=200, num_samples=2_000, alpha=1e-4, seed=0)
    assert result.radius.max() == 3
    for row, (label, radius) in enumerate(zip(result.label, result.radius, strict=True)):
        near = share[distances(d)[row] <= radius]
        assert ((near > 0.5) == label).all()


def test_vectors_and_images_with_the_same_values_get_the_same_votes() -> None:
    assert_same_votes(votes(smoothed(), images().flatten(1)), votes(smoothed()))


def test_colour_pixels_are_one_feature() -> None:
    classifier = smoothed(perceptron(in_features=6 * D))
    assert votes(classifier, torch.rand(2, 3, 4, 4), 10).num_samples.tolist() == [10, 10]


def test_modes_are_restored_and_no_gradient_is_kept() -> None:
    base = nn.Sequential(nn.Flatten(), nn.Linear(2 * D, CLASSES), nn.Dropout(0.5))
    base.train()
    base[1].eval()
    classifier = smoothed(base)
    assert_same_votes(votes(classifier), votes(classifier))  # dropout is off
    assert (base.training, base[1].training, base[2].training) == (True, False, True)
    assert all(parameter.grad is None for parameter in base.parameters())


def test_mode_is_restored_after_an_error() -> None:
    base = perceptron().train()
    with pytest.raises(sc.InputError):
        votes(smoothed(base, CLASSES + 1))
    assert base.training


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("rule", RULES)
def test_empty_batch(rule: str, sampling: str) -> None:
    result = smoothed().certify(images(0), 10, 1_000, rule=rule, sampling=sampling, seed=0)
    assert len(result.label) == len(result.radius) == len(result.num_samples) == 0
    assert len(result.tally) == 0
    assert (
        len(smoothed().predict(images(0), 1_000, rule=rule, sampling=sampling, seed=0).label) == 0
    )


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        ((images() * 255).to(torch.uint8), "floating-point"),
        (images()[0], "shape"),
        (torch.rand(2, 1, 5, 5), "16 pixels"),
        (torch.rand(2, 15), "16 features"),
        (torch.rand(2, 3, 4, 4), "number of channels"),
        (images() * 2, r"\[0, 1\]"),
        (images() - 1, r"\[0, 1\]"),
        (torch.full((1, 1, 4, 4), float("nan")), "NaN"),
        (torch.full((1, 1, 4, 4), float("inf")), r"values in \[0, 1\]"),
    ],
)
def test_bad_inputs_get_a_sentence(x: Tensor, sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        smoothed().certify(x, num_selection=10, num_samples=100, seed=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_samples": 0}, "num_samples"),
        ({"num_selection": 0}, "num_selection"),
        ({"num_samples": 10.0}, "integer"),
        ({"seed": 0.5}, "seed to be an integer"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 2.0}, "alpha"),
        ({"rule": "plurality"}, "rule"),
        ({"rule": "bogus", "sampling": "sequential"}, "expected rule to be one of"),
        ({"sampling": "bogus"}, "one of fixed, sequential, got 'bogus'"),
        ({"seed": -1}, "seed"),
        ({"indices": [0]}, "one index for each"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_settings_get_a_sentence(options: dict[str, object], sentence: str) -> None:
    arguments = {"num_selection": 10, "num_samples": 100, **options}
    with pytest.raises(sc.InputError, match=sentence):
        smoothed().certify(images(), **arguments)  # type: ignore[arg-type]


def test_bad_settings_of_predictions_get_a_sentence() -> None:
    with pytest.raises(sc.InputError, match="one of fixed, sequential, got 'bogus'"):
        smoothed().predict(images(), sampling="bogus", seed=0)
    for sampling in SAMPLINGS:
        with pytest.raises(sc.InputError, match="num_samples to be at least 1, got 0"):
            smoothed().predict(images(), 0, sampling=sampling, seed=0)


def test_wrong_number_of_outputs_and_nan_outputs_get_a_sentence() -> None:
    with pytest.raises(sc.InputError, match=r"logits of shape .*10"):
        votes(smoothed(num_classes=10))
    broken = perceptron()
    nn.init.constant_(broken.get_parameter("1.weight"), float("nan"))
    with pytest.raises(sc.InputError, match="NaN"):
        votes(smoothed(broken))


def test_nan_on_some_ballots_only_gets_a_sentence() -> None:
    class Now(nn.Module):
        """NaN where most of what is retained is bright."""

        def forward(self, encoded: Tensor) -> Tensor:
            bright = encoded[:, 0].flatten(1).sum(dim=1, keepdim=True)
            return torch.where(bright > 4.5, torch.nan, bright.expand(-1, CLASSES))

    x = torch.full((1, 1, 4, 4), 0.8)
    assert votes(smoothed(Now()), x, 50).num_samples.tolist() == [50]
    x[0, 0, :2] = 1
    with pytest.raises(sc.InputError, match="NaN"):
        votes(smoothed(Now()), x, 2_000, seed=0)


def test_one_class_is_refused() -> None:
    with pytest.raises(sc.InputError, match="at least 2 classes, got 1"):
        smoothed(num_classes=1)


def test_a_lack_of_memory_is_not_called_bad_input() -> None:
    class Large(nn.Module):
        def forward(self, encoded: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("so large")

    with pytest.raises(torch.OutOfMemoryError, match="so large"):
        votes(smoothed(Large()))


def test_a_ballot_that_depends_on_the_other_ballots_is_refused() -> None:
    base = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2 * D, track_running_stats=False))
    with pytest.raises(sc.InputError, match=r"layer '1' .*no certificate holds"):
        smoothed(base)


def test_layers_that_normalise_each_input_alone_are_fine() -> None:
    smoothed(nn.Sequential(nn.Unflatten(1, (2, D)), nn.InstanceNorm1d(2), nn.Flatten()))


@pytest.mark.usefixtures("unchecked")
def test_ablations_of_the_other_kind_are_refused_with_the_way_to_go() -> None:
    family, tally = sc.strided_partition(D, 3), sc.Tally(np.array([[9, 1]]))
    with pytest.raises(sc.InputError, match=r"got FixedAblation; .*FixedSmoothedClassifier"):
        sc.SmoothedClassifier(nn.Identity(), family, CLASSES)  # type: ignore[arg-type]
    with pytest.raises(sc.InputError, match=r"got FixedAblation; .*certify_ballots"):
        sc.certify_tally(tally, [0], family)  # type: ignore[arg-type]
    with pytest.raises(sc.InputError, match=r"got UniformAblation; .*certify_tally"):
        sc.certify_ballots(np.zeros((1, 3, 2)), ABLATION)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_indices_that_are_no_integers_are_refused() -> None:
    with pytest.raises(sc.InputError, match=r"expected index to be an integer, got 1.5"):
        votes(smoothed(), images(2), indices=[0, 1.5])


def test_double_precision_inputs_and_models() -> None:
    assert_same_votes(votes(smoothed(), images().double()), votes(smoothed()))
    assert votes(smoothed(perceptron().double())).num_samples.tolist() == [100] * 6


def test_bfloat16_is_used_where_asked_and_votes_much_the_same() -> None:
    seen = []
    for precision in ("float32", "bfloat16"):
        base = perceptron()
        base[1].register_forward_hook(lambda *call: seen.append(call[2].dtype))
        counts = votes(smoothed(base, precision=precision), n=1_000).first_choice
        np.testing.assert_allclose(counts, votes(smoothed(), n=1_000).first_choice, atol=20)
    assert set(seen) == {torch.float32, torch.bfloat16}
    with pytest.raises(sc.InputError, match="float32 or bfloat16, got 'half'"):
        smoothed(precision="half")


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_too_few_samples_warn(sampling: str) -> None:
    with pytest.warns(sc.TooFewSamplesWarning, match=r"4 samples cannot certify .* 5 or more"):
        smoothed().certify(images(), num_selection=1, num_samples=4, sampling=sampling, seed=0)


MEMORY_SCRIPT = """
import resource, torch, sparsecert as sc
torch.set_num_threads(1)
base = torch.nn.Sequential(
    torch.nn.Conv2d(6, 8, 16, stride=16), torch.nn.ReLU(), torch.nn.Flatten(),
    torch.nn.Linear(8 * 14 * 14, 10),
)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
classifier = sc.SmoothedClassifier(base, sc.UniformAblation(224 * 224, 1_000), 10)
result = classifier.certify(torch.rand(1, 3, 224, 224), num_samples=3_000)
assert int(result.tally.num_samples[0]) == 3_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_certifying_a_large_image_stays_under_two_gibibytes() -> None:
    """Though its encoded ballots together would take 3.6 GB."""
    assert int(printed_by("-c", MEMORY_SCRIPT)) < 2 * 2**30
