from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.errors import InputError
from sparsecert.rules import RULES, fewest_unanimous
from sparsecert.smoothing.encoding import NoiseEncoding
from sparsecert.streams import Stage
from tests.helpers.spaces import binary_images, distances

NAME = 0, Stage.ESTIMATION, 0


@pytest.mark.parametrize(
    ("kappa", "num_values"), [(0.8, 2), (0.1, 256), (0.5000001, 2), (0.999, 3), (0.34, 3)]
)
def test_the_draws_split_exactly(kappa: float, num_values: int) -> None:
    noise = DiscreteNoise(4, kappa, num_values)
    kept = noise.exact_keep_probability
    assert Fraction(kappa) <= kept <= Fraction(kappa) + Fraction(num_values, 2**64)
    assert ((1 - kept) * 2**64) % (num_values - 1) == 0


@pytest.mark.parametrize(("kappa", "num_values"), [(0.8, 2), (0.4, 5)])
def test_noise_has_the_stated_distribution(kappa: float, num_values: int) -> None:
    offsets = DiscreteNoise(50, kappa, num_values).draw(sc.samples(*NAME, 4_000))
    assert offsets.shape == (4_000, 50)
    counts = np.bincount(offsets.ravel(), minlength=num_values)
    expected = np.full(num_values, (1 - kappa) / (num_values - 1))
    expected[0] = kappa
    assert stats.chisquare(counts, expected * offsets.size).pvalue > 1e-4
    # Features are independent: the number kept is binomial.
    kept = (offsets == 0).sum(axis=1)
    assert kept.var() == pytest.approx(50 * kappa * (1 - kappa), rel=0.15)


def test_noise_does_not_depend_on_how_it_is_split() -> None:
    noise = DiscreteNoise(7, 0.3, 10)
    whole = noise.draw(sc.samples(*NAME, 20))
    parts = [noise.draw(sc.samples(*NAME, n, first)) for first, n in ((0, 1), (1, 12), (13, 7))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_encoding_replaces_by_every_other_value() -> None:
    x = torch.tensor([[0.0, 0.5, 1.0]])
    offsets = torch.tensor([[0, 0, 0], [1, 1, 1], [2, 2, 2]], dtype=torch.int32)
    noisy = NoiseEncoding(3)(x, offsets)
    assert noisy.tolist() == [[0.0, 0.5, 1.0], [0.5, 1.0, 0.0], [1.0, 0.0, 0.5]]
    colour = torch.rand(1, 3, 2, 2)
    shown = NoiseEncoding(256)(colour, torch.zeros(5, 12, dtype=torch.int32))
    torch.testing.assert_close(shown, colour.expand(5, 3, 2, 2), atol=1 / 510 + 1e-6, rtol=0)


class Table(nn.Module):
    """An arbitrary function of binary vectors: class by look-up."""

    def __init__(self, classes: Tensor) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, noisy: Tensor) -> Tensor:
        place = 2 ** torch.arange(noisy.shape[1])
        return nn.functional.one_hot(self.classes[(noisy.long() * place).sum(dim=1)], 2).float()


def test_certificates_hold_for_every_change_on_a_small_space() -> None:
    """Random base classifiers on 5 bits; the smoothed class of every neighbour, by enumeration."""
    d, kappa = 5, 0.8
    noise = DiscreteNoise(d, kappa, 2)
    points, distance = binary_images(d), distances(d)
    likelihood = kappa ** (d - distance) * (1 - kappa) ** distance
    generator = np.random.default_rng(0)
    certified = 0
    for _ in range(20):
        table = torch.from_numpy(generator.permutation(2**d) < generator.integers(1, 2**d)).long()
        classifier = sc.SmoothedClassifier(Table(table), noise, 2, NoiseEncoding(2))
        by_place = table.numpy()[points @ (2 ** np.arange(d))]
        exact = likelihood @ by_place  # share of class 1 around each point
        x = torch.from_numpy(points).float()
        answer = classifier.certify(x, 100, 2_000, alpha=1e-4)
        shares = answer.tally.first_choice[:, 1] / 2_000
        np.testing.assert_allclose(shares, exact, atol=5.5 * np.sqrt(0.25 / 2_000))
        for row in range(len(points)):
            near = exact[distance[row] <= answer.radius[row]]
            assert ((near > 0.5) == answer.label[row]).all()
        certified += int((answer.radius >= 1).sum())
    assert certified > 50


def test_a_certificate_needs_enough_samples() -> None:
    noise = DiscreteNoise(5, 0.8, 2)
    needed = fewest_unanimous(RULES["majority"], 0.01, float(noise.share_thresholds()[2]))
    assert needed is not None
    for samples, radius in ((needed, 2), (needed - 1, 1)):
        tally = sc.Tally(np.array([[samples, 0]]))
        assert sc.certify_tally(tally, [0], noise, 0.01).radius == [radius]


def test_radii_count_channels() -> None:
    noise = DiscreteNoise(12, 0.8, 256)
    classifier = sc.SmoothedClassifier(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), noise, 2, NoiseEncoding(256)
    )
    colour = torch.rand(2, 3, 2, 2)
    assert classifier.tally(colour, 10, Stage.ESTIMATION).num_samples.tolist() == [10, 10]
    with pytest.raises(InputError, match="got 4"):
        classifier.tally(torch.rand(1, 1, 2, 2), 10, Stage.ESTIMATION)


def test_radii_do_not_exceed_the_number_of_features() -> None:
    tally = sc.Tally(np.array([[100_000, 0]]))
    assert sc.certify_tally(tally, [0], DiscreteNoise(50, 0.8, 2), 0.05).radius == [10]
    assert sc.certify_tally(tally, [0], DiscreteNoise(5, 0.8, 2), 0.05).radius == [5]


def test_units() -> None:
    noise, ablation = DiscreteNoise(12, 0.8, 256), sc.UniformAblation(4, 2)
    assert [noise.unit(shape) for shape in ((3, 2, 2), (1, 3, 4), (12,))] == [
        "channel values",
        "pixels",
        "features",
    ]
    assert [ablation.unit(shape) for shape in ((3, 2, 2), (4,))] == ["pixels", "features"]


def test_a_model_in_low_precision_gets_the_noise_that_is_certified() -> None:
    """In bfloat16 integers above 256 are rounded, which must not happen to levels."""

    class Record(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
            self.seen: set[float] = set()

        def forward(self, noisy: Tensor) -> Tensor:
            self.seen.update(noisy.flatten().tolist())
            return torch.zeros(len(noisy), 2)

    base = Record()
    encoding = NoiseEncoding(256)
    classifier = sc.SmoothedClassifier(base, DiscreteNoise(1, 0.01, 256), 2, encoding)
    classifier.tally(torch.full((1, 1), 200 / 255), 20_000, Stage.ESTIMATION)
    values = {(torch.tensor(level) / 255).bfloat16().item() for level in range(256)}
    assert base.seen == values


@pytest.mark.usefixtures("unchecked")
def test_a_design_needs_the_encoding_that_applies_it() -> None:
    base = nn.Linear(5, 2)
    noise, ablation = DiscreteNoise(5, 0.8, 2), sc.UniformAblation(5, 1)
    for design, encoding in (
        (ablation, NoiseEncoding(2)),
        (noise, "two-channel"),
        (noise, NoiseEncoding(3)),
    ):
        with pytest.raises(InputError, match="NoiseEncoding"):
            sc.SmoothedClassifier(base, design, 2, encoding)


@pytest.mark.usefixtures("unchecked")
def test_bad_settings_get_a_sentence() -> None:
    many = DiscreteNoise(4, 0.3, np.int64(10))  # type: ignore[arg-type]
    assert many.draw(sc.samples(*NAME, 3)).max() <= 9
    for arguments, sentence in (
        ((5, 0.1, 2**33), "num_values up to 65536"),
        ((5, 1 - 2**-53, 4096), "further from 1"),
        ((0, 0.8, 2), "num_features"),
        ((5, 0.5, 2), "above 1 / num_values"),
        ((5, 0.8, 1), "at least 2"),
    ):
        with pytest.raises(InputError, match=sentence):
            DiscreteNoise(*arguments)
    with pytest.raises(InputError, match="majority"):
        sc.certify_tally(
            sc.Tally(np.array([[90, 10]])), [0], DiscreteNoise(5, 0.8, 2), 0.05, "margin"
        )
