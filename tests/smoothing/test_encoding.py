from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsecert.errors import InputError
from sparsecert.smoothing.encoding import (
    Encoding,
    MeanEncoding,
    NoiseEncoding,
    TwoChannelEncoding,
    resolve_encoding,
)

GREY, COLOUR, VECTOR = (1, 3, 4), (3, 3, 4), (12,)  # 12 features each


def random_inputs(shape: tuple[int, ...], batch: int = 5, seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.random((batch, *shape), dtype=np.float32))


def random_mask(batch: int = 5, features: int = 12, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((batch, features)) < 0.4)


def where_retained(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The mask repeated for every channel: feature j is the pixel (j // width, j % width)."""
    if len(shape) == 1:
        return mask
    channels, height, width = shape
    retained = torch.zeros(len(mask), channels, height, width, dtype=torch.bool)
    for feature in range(height * width):
        retained[:, :, feature // width, feature % width] = mask[:, feature, None]
    return retained


@pytest.mark.parametrize("shape", [GREY, COLOUR, VECTOR])
def test_two_channels_show_a_value_and_its_complement(shape: tuple[int, ...]) -> None:
    x, mask = random_inputs(shape), random_mask()
    encoding = TwoChannelEncoding()
    encoded = encoding(x, mask)
    retained = where_retained(mask, shape)
    value, complement = encoded.chunk(2, dim=1)

    assert encoded.shape == (5, encoding.output_channels(shape[0]), *shape[1:])
    assert torch.equal(value[retained], x[retained])
    torch.testing.assert_close((value + complement)[retained], torch.ones_like(x)[retained])
    assert not value[~retained].any()
    assert not complement[~retained].any()


def test_black_and_white_differ_from_null() -> None:
    x = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    mask = torch.tensor([[True, True, False, False]])
    assert TwoChannelEncoding()(x, mask).tolist() == [[0, 1, 0, 0, 1, 0, 0, 0]]


def test_standardisation_comes_before_the_two_channels() -> None:
    x, mask = random_inputs(COLOUR), random_mask()
    encoded = TwoChannelEncoding(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))(x, mask)
    retained = where_retained(mask, COLOUR)
    value, complement = encoded.chunk(2, dim=1)
    for channel, (mean, std) in enumerate([(0.5, 0.2), (0.4, 0.25), (0.3, 0.5)]):
        shown, seen = value[:, channel], retained[:, channel]
        torch.testing.assert_close(shown[seen], (x[:, channel][seen] - mean) / std)
    torch.testing.assert_close((value + complement)[retained], torch.ones_like(x)[retained])
    assert not value[~retained].any()
    assert not complement[~retained].any()


@pytest.mark.parametrize(
    ("shape", "mean"),
    [
        (GREY, (0.13,)),
        (COLOUR, (0.1, 0.2, 0.3)),
        (VECTOR, (0.5,)),
        (VECTOR, tuple(i / 12 for i in range(12))),
    ],
)
def test_mean_encoding_shows_the_mean_for_null(
    shape: tuple[int, ...], mean: tuple[float, ...]
) -> None:
    x, mask = random_inputs(shape), random_mask()
    encoding = MeanEncoding(mean)
    encoded = encoding(x, mask)
    retained = where_retained(mask, shape)
    mean_everywhere = torch.tensor(mean).view(-1, *[1] * (len(shape) - 1)).expand(x.shape)

    assert encoded.shape == (5, encoding.output_channels(shape[0]), *shape[1:])
    assert torch.equal(encoded[retained], x[retained])
    assert torch.equal(encoded[~retained], mean_everywhere[~retained])


@pytest.mark.parametrize(("channels", "encoded"), [(1, 2), (3, 6), (30, 60)])
def test_output_channels(channels: int, encoded: int) -> None:
    assert TwoChannelEncoding().output_channels(channels) == encoded
    assert MeanEncoding((0.5,)).output_channels(channels) == channels


ENCODINGS: list[Encoding] = [
    TwoChannelEncoding(),
    TwoChannelEncoding(mean=(0.4,), std=(0.2,)),
    MeanEncoding((0.3,)),
]


@given(
    encoding=st.sampled_from(ENCODINGS),
    shape=st.sampled_from([GREY, COLOUR, VECTOR]),
    retained=st.sets(st.integers(0, 11)),
    seeds=st.tuples(st.integers(0, 2**16), st.integers(0, 2**16)),
)
@settings(max_examples=200, deadline=None)
def test_what_is_not_retained_cannot_be_seen(
    encoding: Encoding, shape: tuple[int, ...], retained: set[int], seeds: tuple[int, int]
) -> None:
    # The step of Theorem 1: if x and x' agree on T, then ABLATE(x, T) = ABLATE(x', T).
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, sorted(retained)] = True
    x, other = (random_inputs(shape, batch=1, seed=seed) for seed in seeds)
    changed = torch.where(where_retained(mask, shape), x, other.round())
    assert torch.equal(encoding(changed, mask), encoding(x, mask))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_value_of_an_ablated_pixel_leaves_a_trace(encoding: Encoding, value: float) -> None:
    """Encodings select: a product with 0 would let these through."""
    x, mask = random_inputs(COLOUR), random_mask()
    spoilt = torch.where(where_retained(mask, COLOUR), x, value)
    assert torch.equal(encoding(spoilt, mask), encoding(x, mask))


@pytest.mark.parametrize("shape", [GREY, COLOUR, VECTOR])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_retained_feature_is_shown(encoding: Encoding, shape: tuple[int, ...]) -> None:
    x, mask = random_inputs(shape, batch=1), torch.ones(1, 12, dtype=torch.bool)
    for feature in range(12):
        changed = x.clone()
        changed.view(1, -1, 12)[..., feature] += 0.5
        assert not torch.equal(encoding(changed, mask), encoding(x, mask))


def test_each_example_has_its_own_mask() -> None:
    x, mask = random_inputs(COLOUR), random_mask()
    for encoding in ENCODINGS:
        one_by_one = [encoding(x[i : i + 1], mask[i : i + 1]) for i in range(len(x))]
        assert torch.equal(encoding(x, mask), torch.cat(one_by_one))


@pytest.mark.parametrize("encoding", [TwoChannelEncoding(), MeanEncoding((0.4,))])
def test_a_missing_feature_looks_like_one_not_retained(encoding: Encoding) -> None:
    x, mask = random_inputs(VECTOR), random_mask()
    missing = random_mask(seed=2)
    holes = torch.where(missing, torch.nan, x)
    assert torch.equal(encoding(holes, mask), encoding(x, mask & ~missing))


def test_noise_takes_no_missing_features() -> None:
    with pytest.raises(InputError, match="every feature to be known"):
        NoiseEncoding(2)(torch.full((1, 3), torch.nan), torch.zeros(1, 3, dtype=torch.int32))


def test_encodings_by_name() -> None:
    given_one = MeanEncoding((0.2,))
    assert resolve_encoding("two-channel") == TwoChannelEncoding()
    assert resolve_encoding(given_one) is given_one
    with pytest.raises(InputError, match="'two-channel' or 'mean', got 'three-channel'"):
        resolve_encoding("three-channel")
    with pytest.raises(InputError, match=r"training set's mean: pass encoding=MeanEncoding"):
        resolve_encoding("mean")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mean": (0.5,)}, "both mean and std"),
        ({"std": (0.5,)}, "both mean and std"),
        ({"mean": (0.5, 0.5), "std": (1.0,)}, "as many values in mean as in std"),
        ({"mean": (0.5, 0.5), "std": (1.0, 0.0)}, "every std to be positive"),
        ({"mean": (0.5,), "std": (-1.0,)}, "every std to be positive"),
    ],
)
def test_half_a_standardisation_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TwoChannelEncoding(**arguments)


@pytest.mark.parametrize(
    "encoding", [TwoChannelEncoding(mean=(0.5, 0.5), std=(1.0, 1.0)), MeanEncoding((0.5, 0.5))]
)
def test_statistics_must_fit_the_channels(encoding: Encoding) -> None:
    with pytest.raises(InputError, match="inputs with 2 channels, as the encoding has, got 3"):
        encoding(random_inputs(COLOUR), random_mask())
