from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsecert.errors import InputError
from sparsecert.models import Architecture
from sparsecert.models import architectures as models
from sparsecert.models.architectures import (
    MLP,
    InterpolatingCNN,
    InterpolatingResNet,
    Interpolation,
    PaperCNN,
)
from sparsecert.smoothing.encoding import TwoChannelEncoding
from sparsecert.training import RecipeName
from sparsecert.training.recipes import RECIPES


def output_shapes(model: nn.Sequential, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape, without the batch, of each layer in turn."""
    shapes = []
    for layer in model:
        x = layer(x)
        shapes.append((type(layer).__name__, tuple(x.shape[1:])))
    return shapes


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def encoded_images(channels: int, height: int, width: int, batch: int = 3) -> Tensor:
    generator = np.random.default_rng(0)
    x = generator.random((batch, channels, height, width), dtype=np.float32)
    mask = generator.random((batch, height * width)) < 0.3
    return TwoChannelEncoding()(torch.from_numpy(x), torch.from_numpy(mask))


# The paper's network


def test_paper_cnn_is_the_one_of_appendix_a() -> None:
    model = PaperCNN(in_channels=2, num_classes=10)
    assert output_shapes(model, torch.zeros(1, 2, 28, 28)) == [
        ("Conv2d", (64, 14, 14)),
        ("ReLU", (64, 14, 14)),
        ("Conv2d", (128, 7, 7)),
        ("ReLU", (128, 7, 7)),
        ("Flatten", (6272,)),
        ("Linear", (500,)),
        ("ReLU", (500,)),
        ("Linear", (100,)),
        ("ReLU", (100,)),
        ("Float32Linear", (10,)),
    ]
    convolutions = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(4, 4), (4, 4)]
    assert [layer.stride for layer in convolutions] == [(2, 2), (2, 2)]
    assert [layer.padding for layer in convolutions] == [(1, 1), (1, 1)]


def test_paper_cnn_has_the_parameters_counted_by_hand() -> None:
    by_hand = 2_112 + 131_200 + 3_136_500 + 50_100 + 1_010  # weights and biases, layer by layer
    assert num_parameters(PaperCNN(2, 10)) == by_hand
    # The mean encoding has one channel: 64 filters of 4 x 4 weights less.
    assert num_parameters(PaperCNN(1, 10)) == by_hand - 64 * 16


# Interpolation


def weighted_means(encoded: NDArray[np.float32], scale: float) -> tuple[list[float], list[float]]:
    """For each pixel the Gaussian-weighted mean of the retained values, and the weight.

    `encoded` is one grey image: its values and their complements. Written as the definition
    says, pixel by pixel.
    """
    value, complement = encoded
    height, width = value.shape
    means, weights = [], []
    for row in range(height):
        for column in range(width):
            total = weight = 0.0
            for i in range(height):
                for j in range(width):
                    if value[i, j] + complement[i, j] > 0.5:  # retained
                        w = math.exp(-((row - i) ** 2 + (column - j) ** 2) / (2 * scale**2))
                        total, weight = total + w * float(value[i, j]), weight + w
            means.append(total / weight)
            weights.append(weight)
    return means, weights


@pytest.mark.parametrize("channels", [1, 3])
def test_interpolation_is_the_gaussian_weighted_mean(channels: int) -> None:
    height, width, scales = 6, 5, (1.5, 3.0)
    interpolation = Interpolation(height, width, scales)
    encoded = encoded_images(channels, height, width)
    output = interpolation(encoded)

    assert output.shape == (3, interpolation.output_channels(2 * channels), height, width)
    assert torch.equal(output[:, : 2 * channels], encoded)
    means = output[:, 2 * channels :][:, : 2 * channels].view(3, channels, 2, -1).numpy()
    weights = output[:, 4 * channels :].view(3, 2, -1).numpy()
    for image in range(3):
        for index, scale in enumerate(scales):
            for channel in range(channels):
                one = encoded[image, [channel, channels + channel]].numpy()
                mean, weight = map(np.array, weighted_means(one, scale))
                np.testing.assert_allclose(weights[image, index], weight / 3, rtol=1e-4)
                # A constant of 1/1000 beside the weights keeps an empty image from dividing by 0.
                shrunk = (mean - 0.5) * weight / (weight + 1e-3)
                np.testing.assert_allclose(means[image, channel, index], shrunk, atol=1e-5)


def test_interpolation_of_a_plain_image_is_plain_however_few_pixels_are_seen() -> None:
    mask = torch.zeros(1, 144, dtype=torch.bool)
    mask[0, [40, 100]] = True
    encoded = TwoChannelEncoding()(torch.full((1, 1, 12, 12), 0.8), mask)
    wide_mean = Interpolation(12, 12)(encoded)[0, 3]
    torch.testing.assert_close(wide_mean, torch.full((12, 12), 0.3), atol=0.01, rtol=0)


@pytest.mark.parametrize("channels", [2, 6])
def test_interpolation_of_nothing_is_nothing(channels: int) -> None:
    output = Interpolation(28, 28)(torch.zeros(2, channels, 28, 28))
    assert torch.equal(output, torch.zeros_like(output))  # finite, too


def test_interpolation_in_bfloat16_rounds_where_its_products_do() -> None:
    """Votes of earlier versions, which rounded the input only where a product took it, hold."""
    interpolation, encoded = Interpolation(28, 28), encoded_images(1, 28, 28)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        output = interpolation(encoded)
        along = (encoded @ interpolation.columns).view(len(encoded), -1, 28, 2, 28)
        value, complement = (interpolation.rows @ along.transpose(2, 3)).unbind(dim=1)
        weight = value + complement
        mean = (value - weight / 2) / (weight + 1e-3)
        late = torch.cat((encoded, mean, weight / 3), dim=1)
    assert late.dtype == torch.float32
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, late.bfloat16())


def test_there_is_nothing_to_train_or_store_in_the_interpolation() -> None:
    interpolation = Interpolation(28, 28)
    assert num_parameters(interpolation) == 0
    assert not interpolation.state_dict()


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 8, 12)])
def test_interpolating_cnn(channels: int, height: int, width: int) -> None:
    model = InterpolatingCNN(2 * channels, height, width, num_classes=7).eval()
    encoded = encoded_images(channels, height, width)
    shapes = [s for s in output_shapes(model, encoded) if s[0] not in ("ReLU", "BatchNorm2d")]
    assert shapes == [
        ("Interpolation", (2 * channels + 2 * (channels + 1), height, width)),
        ("Conv2d", (64, height // 2, width // 2)),
        ("Conv2d", (128, height // 4, width // 4)),
        ("Flatten", (128 * (height // 4) * (width // 4),)),
        ("Linear", (500,)),
        ("BatchNorm1d", (500,)),
        ("Linear", (100,)),
        ("BatchNorm1d", (100,)),
        ("Float32Linear", (7,)),
    ]


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 16, 20)])
def test_interpolating_resnet(channels: int, height: int, width: int) -> None:
    model = InterpolatingResNet(2 * channels, height, width, 7, (8, 16, 24), (1, 2, 1)).eval()
    interpolated = 2 * channels + 2 * (channels + 1)
    assert output_shapes(model, encoded_images(channels, height, width)) == [
        ("Interpolation", (interpolated, height, width)),
        ("Sequential", (8, height // 2, width // 2)),
        ("Sequential", (24, math.ceil(height / 8), math.ceil(width / 8))),
        ("AdaptiveAvgPool2d", (24, 1, 1)),
        ("Flatten", (24,)),
        ("Float32Linear", (7,)),
    ]
    stem = 16 * interpolated * 8
    blocks = 9 * (8 * 8 + 8 * 8 + 8 * 16 + 3 * 16 * 16 + 16 * 24 + 24 * 24)
    shortcuts = 8 * 16 + 16 * 24
    normalised = 8 + 2 * 8 + 3 * 16 + 2 * 16 + 3 * 24  # channels; a scale and a shift for each
    assert num_parameters(model) == stem + blocks + shortcuts + 2 * normalised + 24 * 7 + 7


def test_the_wide_interpolating_resnet_sees_the_maximum_over_pixels() -> None:
    narrow, wide = (
        models.build(name, (6, 16, 20), 7).eval()
        for name in ("interpolating-resnet", "wide-interpolating-resnet")
    )
    assert list(wide.state_dict()) == list(narrow.state_dict())  # weights change hands by name
    assert isinstance(wide, nn.Sequential)
    shapes = output_shapes(wide, encoded_images(3, 16, 20))
    assert shapes[2:4] == [("Sequential", (384, 2, 3)), ("AdaptiveMaxPool2d", (384, 1, 1))]


def test_a_deeper_network_begins_as_the_shallower_one() -> None:
    torch.manual_seed(0)
    wide, deep = (
        models.build(name, (6, 16, 20), 7)
        for name in ("wide-interpolating-resnet", "deep-interpolating-resnet")
    )
    for layer in wide.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as if trained
            for part in (layer.weight, layer.bias, layer.running_mean):
                assert part is not None
                nn.init.normal_(part)
    fresh = {name: value.clone() for name, value in deep.state_dict().items()}
    models.begin_with(deep, wide)
    x = encoded_images(3, 16, 20)
    for training in (True, False):
        assert torch.equal(deep.train(training)(x), wide.train(training)(x))
    added = {name for name, value in deep.named_parameters() if torch.equal(value, fresh[name])}
    blocks = ("2.2.", "2.4.")  # the last of the second and the third stage
    assert {name[:4] for name in added if name.startswith("2.")} == set(blocks)

    # The added blocks learn: only their last scale begins at zero.
    deep.train()
    deep(x)[:, 0].sum().backward()
    scales = [layer for layer in deep.modules() if isinstance(layer, nn.BatchNorm2d)]
    at_zero = [layer.weight.grad for layer in scales if not layer.weight.any()]
    assert len(at_zero) == len(blocks)
    assert all(gradient is not None and gradient.any() for gradient in at_zero)


def test_a_mirrored_network_sees_both_sides() -> None:
    torch.manual_seed(0)
    single, both = (
        models.build(f"{prefix}wide-interpolating-resnet", (6, 16, 20), 7)
        for prefix in ("", "mirrored-")
    )
    models.begin_with(both, single)
    x = encoded_images(3, 16, 20)
    assert torch.equal(both.train()(x), single.train()(x))  # one view in training
    single.eval()
    expected = (single(x).softmax(dim=1) + single(x.flip(3)).softmax(dim=1)) / 2
    torch.testing.assert_close(both.eval()(x).exp() / 2, expected)
    torch.testing.assert_close(both(x), both(x.flip(3)))
    again = models.build("mirrored-wide-interpolating-resnet", (6, 16, 20), 7).eval()
    models.begin_with(again, both)
    assert torch.equal(again(x), both(x))


def test_weights_that_are_loaded_keep_their_place_in_memory() -> None:
    """Channels last, which is faster, whatever the file has."""
    model = models.build("interpolating-resnet", (6, 16, 16), 3)
    contiguous = {name: value.contiguous() for name, value in model.state_dict().items()}
    model.load_state_dict(contiguous)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 9
    for layer in convolutions:
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)


# MLP, and networks by name


def test_commands_offer_the_networks_and_recipes_there_are() -> None:
    assert {*models.ARCHITECTURES, models.SUBSET_ENSEMBLE, models.BAND_NETWORK} == set(
        get_args(Architecture)
    )
    assert set(RECIPES) == set(get_args(RecipeName))


@pytest.mark.parametrize("hidden", [(), (5,), (8, 6)])
def test_mlp(hidden: tuple[int, ...]) -> None:
    model = MLP(60, 4, hidden)
    widths = (60, *hidden, 4)
    layers = [tuple(layer.weight.shape) for layer in model if isinstance(layer, nn.Linear)]
    assert layers == [(wide, narrow) for narrow, wide in itertools.pairwise(widths)]
    x = torch.rand(2, 60)
    assert torch.equal(model(x), model(x.view(2, 2, 5, 6)))
    # Every hidden layer is followed by a ReLU, and the last layer, which gives logits, is not.
    assert sum(isinstance(layer, nn.ReLU) for layer in model) == len(hidden)
    assert isinstance(model[-1], nn.Linear)


@pytest.mark.parametrize(
    ("architecture", "encoded_shape"),
    [
        ("paper-cnn", (2, 28, 28)),
        ("paper-cnn", (1, 28, 28)),
        ("interpolating-cnn", (2, 28, 28)),
        ("interpolating-cnn", (6, 32, 32)),
        ("small-interpolating-cnn", (2, 28, 28)),
        ("dense-interpolating-cnn", (2, 28, 28)),
        ("interpolating-resnet", (2, 28, 28)),
        ("interpolating-resnet", (6, 32, 32)),
        ("wide-interpolating-resnet", (6, 32, 32)),
        ("deep-interpolating-resnet", (6, 32, 32)),
        ("mirrored-wide-interpolating-resnet", (6, 32, 32)),
        ("mlp", (2, 8, 8)),
        ("mlp", (60,)),
    ],
)
def test_networks_by_name_give_one_logit_per_class(
    architecture: str, encoded_shape: tuple[int, ...]
) -> None:
    model = models.build(architecture, encoded_shape, 5).eval()
    assert model(torch.rand(2, *encoded_shape)).shape == (2, 5)


@pytest.mark.parametrize(
    ("architecture", "encoded_shape", "words"),
    [
        ("resnet", (2, 28, 28), "resnet18, resnet50, mlp, got 'resnet'"),
        ("paper-cnn", (6, 32, 32), r"28 x 28 images, got .*\(6, 32, 32\); choose --model mlp"),
        ("paper-cnn", (1568,), "28 x 28 images"),
        ("interpolating-cnn", (1, 28, 28), "two-channel .*choose --model mlp"),
        ("interpolating-cnn", (2, 30, 28), "sides divisible by 4"),
        ("interpolating-resnet", (3, 32, 32), "two-channel"),
        ("interpolating-cnn", (60,), r"got encoded inputs of shape \(60,\)"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    architecture: str, encoded_shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        models.build(architecture, encoded_shape, 10)


@pytest.mark.parametrize("encoding", ["two-channel", "mean"])
@pytest.mark.parametrize("recipe", ["paper", "fast"])
@pytest.mark.parametrize("input_shape", [(1, 28, 28), (3, 28, 28), (1, 8, 8), (30,)])
def test_the_default_network_takes_its_input(
    input_shape: tuple[int, ...], recipe: str, encoding: str
) -> None:
    channels = input_shape[0] * (2 if encoding == "two-channel" else 1)
    name = models.default_architecture(input_shape, encoding, recipe)
    models.build(name, (channels, *input_shape[1:]), 10)
    if recipe == "paper" and input_shape[1:] == (28, 28):
        assert name == "paper-cnn"


def test_logits_are_float32_under_autocast() -> None:
    model = InterpolatingCNN(in_channels=2, height=28, width=28, num_classes=10).eval()
    x = encoded_images(1, 28, 28)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    assert logits.dtype == torch.float32
    rounded = logits.bfloat16().float()
    assert (logits != rounded).any()
    with torch.inference_mode():
        torch.testing.assert_close(model(x), logits, rtol=0.05, atol=0.05)


# Residual networks


@pytest.mark.parametrize(
    ("name", "side", "channels", "classes", "parameters"),
    [
        # The counts of the published networks, less their first convolution, plus ours.
        ("resnet18", 32, 6, 10, 11_173_962 + 3 * 64 * 9),
        ("resnet50", 32, 6, 10, 23_520_842 + 3 * 64 * 9),
        ("resnet18", 64, 3, 1000, 11_689_512),
        ("resnet50", 64, 6, 1000, 25_557_032 + 3 * 64 * 49),
    ],
)
def test_residual_networks_have_the_published_size(
    name: str, side: int, channels: int, classes: int, parameters: int
) -> None:
    model = models.build(name, (channels, side, side), classes).eval()
    assert num_parameters(model) == parameters
    with torch.inference_mode():
        assert model(torch.rand(2, channels, side, side)).shape == (2, classes)


@pytest.mark.parametrize(("side", "last"), [(32, 4), (224, 7)])
def test_residual_networks_divide_the_sides_as_published(side: int, last: int) -> None:
    model = models.build("resnet18", (6, side, side), 10).eval()
    stem, stages = list(model.children())[:2]
    with torch.inference_mode():
        assert stages(stem(torch.rand(1, 6, side, side))).shape == (1, 512, last, last)


def test_defaults_by_shape() -> None:
    for shape, recipe, name in (
        ((1, 28, 28), "paper", "paper-cnn"),
        ((1, 28, 28), "fast", "interpolating-cnn"),
        ((3, 32, 32), "paper", "resnet18"),
        ((3, 224, 224), "paper", "resnet50"),
        ((3, 32, 32), "fast", "wide-interpolating-resnet"),
        ((1, 8, 8), "fast", "mlp"),
        ((30,), "paper", "mlp"),
    ):
        assert models.default_architecture(shape, "two-channel", recipe) == name
    with pytest.raises(InputError, match="choose --model mlp"):
        models.build("resnet18", (2, 8, 8), 10)
