from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.streams import Stage

D, K, CLASSES = 16, 5, 3


def base_classifier(in_features: int = 2 * D, num_classes: int = CLASSES) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(in_features, 24), nn.Tanh(), nn.Linear(24, num_classes)
        )


def smoothed(limit: int | None = None) -> sc.SmoothedClassifier:
    return sc.SmoothedClassifier(
        base_classifier(), sc.UniformAblation(D, K), CLASSES, ballots_per_pass=limit
    )


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))


class Brightness(nn.Module):
    """Votes 1 where the retained pixels are brighter than grey on average, else 0."""

    def forward(self, encoded: Tensor) -> Tensor:
        value, complement = encoded.flatten(2).sum(dim=2).unbind(dim=1)
        return torch.stack((complement, value), dim=1)


def test_votes_are_the_share_of_all_subsets() -> None:
    """Against enumeration: on a small space the exact share of votes is known."""
    x = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.0, 0.45, 0.3]])[:, None, None, :]
    subsets = itertools.combinations(x.flatten().tolist(), 3)
    votes = [sum(subset) > 1.5 for subset in subsets]
    classifier = sc.SmoothedClassifier(Brightness(), sc.UniformAblation(7, 3), 2)
    counts = classifier.tally(x, 20_000, Stage.ESTIMATION).first_choice[0]
    share = np.mean(votes)
    assert abs(counts[1] / 20_000 - share) < 5 * math.sqrt(share * (1 - share) / 20_000)


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 700), st.permutations(range(6)), st.integers(0, 6))
def test_votes_depend_on_neither_pass_nor_order_nor_split(
    limit: int, order: list[int], split: int
) -> None:
    x = images()
    expected = smoothed().tally(x, 100, Stage.ESTIMATION, seed=3).first_choice[order]
    classifier = smoothed(limit=limit)
    parts = [
        classifier.tally(x[part], 100, Stage.ESTIMATION, seed=3, indices=part).first_choice
        for part in (order[:split], order[split:])
    ]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_selection_estimation_and_prediction_draw_different_ablations() -> None:
    x = images()
    classifier = smoothed()
    counts = [
        classifier.tally(x, 200, stage).first_choice
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
    again = sc.certify_tally(estimation, selection.top, sc.UniformAblation(D, K))
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
    subsets = list(itertools.combinations(range(d), k))
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=d)))[:, None, None, :]
    classifier = sc.SmoothedClassifier(Brightness(), sc.UniformAblation(d, k), 2)
    masks = torch.zeros(len(subsets), d, dtype=torch.bool)
    for row, subset in enumerate(subsets):
        masks[row, list(subset)] = True
    share = np.array([classifier.base_answers(x[None], masks).mean() for x in every])
    result = classifier.certify(every, num_selection=200, num_samples=2_000, alpha=1e-4)
    assert result.radius.max() == 3
    flips = (every[:, None] != every[None]).flatten(2).sum(dim=2).numpy()
    for row, (label, radius) in enumerate(zip(result.label, result.radius, strict=True)):
        near = share[flips[row] <= radius]
        assert ((near > 0.5) == label).all()


def test_vectors_and_images_with_the_same_values_get_the_same_votes() -> None:
    x = images()
    as_vectors = smoothed().tally(x.flatten(1), 100, Stage.ESTIMATION).first_choice
    np.testing.assert_array_equal(
        as_vectors, smoothed().tally(x, 100, Stage.ESTIMATION).first_choice
    )


def test_colour_pixels_are_one_feature() -> None:
    base = base_classifier(in_features=6 * D)
    classifier = sc.SmoothedClassifier(base, sc.UniformAblation(D, K), CLASSES)
    assert classifier.tally(torch.rand(2, 3, 4, 4), 10, Stage.ESTIMATION).num_samples.tolist() == [
        10,
        10,
    ]


def test_modes_are_restored_and_no_gradient_is_kept() -> None:
    base = nn.Sequential(nn.Flatten(), nn.Linear(2 * D, CLASSES), nn.Dropout(0.5))
    base.train()
    base[1].eval()
    classifier = sc.SmoothedClassifier(base, sc.UniformAblation(D, K), CLASSES)
    one, other = (classifier.tally(images(), 50, Stage.ESTIMATION).first_choice for _ in range(2))
    np.testing.assert_array_equal(one, other)  # dropout is off
    assert (base.training, base[1].training, base[2].training) == (True, False, True)
    assert all(parameter.grad is None for parameter in base.parameters())


def test_mode_is_restored_after_an_error() -> None:
    base = base_classifier().train()
    classifier = sc.SmoothedClassifier(base, sc.UniformAblation(D, K), CLASSES + 1)
    with pytest.raises(sc.InputError):
        classifier.tally(images(), 10, Stage.ESTIMATION)
    assert base.training


def test_empty_batch() -> None:
    result = smoothed().certify(images(0), num_selection=10, num_samples=100)
    assert len(result.label) == len(result.radius) == len(result.tally) == 0


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
        smoothed().certify(x, num_selection=10, num_samples=100)


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
        ({"seed": -1}, "seed"),
        ({"indices": [0]}, "one index for each"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_settings_get_a_sentence(options: dict[str, object], sentence: str) -> None:
    arguments = {"num_selection": 10, "num_samples": 100, **options}
    with pytest.raises(sc.InputError, match=sentence):
        smoothed().certify(images(), **arguments)  # type: ignore[arg-type]


def test_wrong_number_of_outputs_and_nan_outputs_get_a_sentence() -> None:
    classifier = sc.SmoothedClassifier(base_classifier(), sc.UniformAblation(D, K), 10)
    with pytest.raises(sc.InputError, match=r"logits of shape .*10"):
        classifier.tally(images(), 10, Stage.ESTIMATION)
    broken = base_classifier()
    with torch.no_grad():
        broken[1].weight.fill_(float("nan"))  # type: ignore[index]
    classifier = sc.SmoothedClassifier(broken, sc.UniformAblation(D, K), CLASSES)
    with pytest.raises(sc.InputError, match="NaN"):
        classifier.tally(images(), 10, Stage.ESTIMATION)


def test_a_ballot_that_depends_on_the_other_ballots_is_refused() -> None:
    base = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2 * D, track_running_stats=False))
    with pytest.raises(sc.InputError, match=r"layer '1' .*no certificate holds"):
        sc.SmoothedClassifier(base, sc.UniformAblation(D, K), CLASSES)


def test_layers_that_normalise_each_input_alone_are_fine() -> None:
    base = nn.Sequential(nn.Unflatten(1, (2, D)), nn.InstanceNorm1d(2), nn.Flatten())
    sc.SmoothedClassifier(base, sc.UniformAblation(D, K), CLASSES)


@pytest.mark.usefixtures("unchecked")
def test_ablations_of_the_other_kind_are_refused_with_the_way_to_go() -> None:
    family, tally = sc.strided_partition(D, 3), sc.Tally(np.array([[9, 1]]))
    with pytest.raises(sc.InputError, match=r"got FixedAblation; .*FixedSmoothedClassifier"):
        sc.SmoothedClassifier(nn.Identity(), family, CLASSES)  # type: ignore[arg-type]
    with pytest.raises(sc.InputError, match=r"got FixedAblation; .*certify_ballots"):
        sc.certify_tally(tally, [0], family)  # type: ignore[arg-type]
    with pytest.raises(sc.InputError, match=r"got UniformAblation; .*certify_tally"):
        sc.certify_ballots(np.zeros((1, 3, 2)), sc.UniformAblation(D, K))  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_indices_that_are_no_integers_are_refused() -> None:
    with pytest.raises(sc.InputError, match=r"expected index to be an integer, got 1.5"):
        smoothed().tally(images()[:2], 5, Stage.ESTIMATION, indices=[0, 1.5])  # type: ignore[list-item]


def test_double_precision_inputs_and_models() -> None:
    x = images()
    expected = smoothed().tally(x, 100, Stage.ESTIMATION).first_choice
    np.testing.assert_array_equal(
        smoothed().tally(x.double(), 100, Stage.ESTIMATION).first_choice, expected
    )
    double = sc.SmoothedClassifier(base_classifier().double(), sc.UniformAblation(D, K), CLASSES)
    assert double.tally(x, 100, Stage.ESTIMATION).num_samples.tolist() == [100] * 6


def test_bfloat16_is_used_where_asked_and_votes_much_the_same() -> None:
    seen = []
    for precision in ("float32", "bfloat16"):
        base = base_classifier()
        base[1].register_forward_hook(lambda *call: seen.append(call[2].dtype))  # type: ignore[index]
        classifier = sc.SmoothedClassifier(
            base, sc.UniformAblation(D, K), CLASSES, precision=precision
        )
        counts = classifier.tally(images(), 1_000, Stage.ESTIMATION).first_choice
        np.testing.assert_allclose(
            counts, smoothed().tally(images(), 1_000, Stage.ESTIMATION).first_choice, atol=20
        )
    assert set(seen) == {torch.float32, torch.bfloat16}
    with pytest.raises(sc.InputError, match="float32 or bfloat16, got 'half'"):
        sc.SmoothedClassifier(base_classifier(), sc.UniformAblation(D, K), 3, precision="half")


def test_too_few_samples_warn() -> None:
    with pytest.warns(sc.TooFewSamplesWarning, match="5 or more"):
        smoothed().certify(images(), num_selection=1, num_samples=4)


MEMORY_SCRIPT = """
import resource, torch, sparsecert as sc
torch.set_num_threads(1)
base = torch.nn.Sequential(
    torch.nn.Conv2d(6, 8, 16, stride=16), torch.nn.ReLU(), torch.nn.Flatten(),
    torch.nn.Linear(8 * 14 * 14, 10),
)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
classifier = sc.SmoothedClassifier(base, sc.UniformAblation(224 * 224, 1_000), 10)
result = classifier.certify(torch.rand(1, 3, 224, 224), num_samples=10_000)
assert int(result.tally.num_samples[0]) == 10_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_certifying_a_large_image_stays_under_two_gibibytes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 2 * 2**30
