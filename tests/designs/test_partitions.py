"""Partitions as a design of runs, and the networks that see one set each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsecert.designs.design import design_settings, sampled
from sparsecert.designs.family import Partitions
from sparsecert.designs.registry import build_design
from sparsecert.errors import InputError
from sparsecert.models.architectures import MLP, SubsetEnsemble
from sparsecert.smoothing.encoding import NoiseEncoding, TwoChannelEncoding
from sparsecert.smoothing.family import FixedSmoothedClassifier
from tests.helpers.classifiers import images as noise
from tests.helpers.spaces import assert_no_change_within, binary_images

COLOUR = (3, 4, 5)


def images(batch: int, shape: tuple[int, ...] = COLOUR) -> torch.Tensor:
    return noise(batch, shape=shape)


def ensemble(design: Partitions, channels: int = 6, classes: int = 4) -> SubsetEnsemble:
    torch.manual_seed(0)
    return SubsetEnsemble(design.ablation.membership, channels, classes, (7, 5))


@pytest.mark.parametrize(
    "design",
    [
        Partitions(20, 6),
        Partitions(20, 6, 3, "random", family_seed=4),
        Partitions(20, 4, 2, "stratified", (4, 5), 1),
    ],
)
def test_a_run_folder_can_hold_a_design(design: Partitions) -> None:
    settings = design_settings(design)
    again = build_design(str(settings["design"]), {**settings, "num_retained": 3})
    assert again == design
    assert isinstance(again, Partitions)
    assert again.ablation == design.ablation
    # Every feature is in one set of each partition.
    assert (design.ablation.membership.sum(axis=0) == design.copies).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((20, 21), "num_sets between 1 and num_features = 20"),
        ((20, 0), "num_sets between 1"),
        ((20, 4, 0, "random"), "copies to be at least 1"),
        ((20, 4, 2), "copies would be the same"),
        ((20, 4, 1, "stratified"), "expected images"),
        ((20, 4, 1, "round"), "layout to be one of strided, random, stratified"),
        ((20, 4.5), "num_sets to be an integer"),
    ],
)
def test_partitions_that_are_none_get_a_sentence(
    unchecked: None, arguments: tuple[object, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Partitions(*arguments)  # type: ignore[arg-type]


def test_a_fixed_family_is_not_sampled() -> None:
    with pytest.raises(InputError, match="design that draws samples"):
        sampled(Partitions(20, 4))


def test_each_member_is_a_perceptron_on_its_own_features() -> None:
    design = Partitions(20, 3, 2, "random")
    model, encoding, x = ensemble(design), TwoChannelEncoding(), images(5)
    whole = encoding(x, torch.ones(5, 20, dtype=torch.bool))
    logits = model(whole)
    assert logits.shape == (5, 6, 4)
    flat = whole.reshape(5, 6, 20)
    for t, member in enumerate(design.ablation.membership):
        hidden = flat[:, :, torch.from_numpy(member.copy())].flatten(1)
        for number, layer in enumerate(model.layers):
            parameters = dict(layer.named_parameters())
            weight, bias = parameters["weight"][t], parameters["bias"][t]
            # Sets smaller than the largest are padded, channel by channel, with zeros.
            if number == 0:
                largest = design.ablation.membership.sum(axis=1).max()
                weight = weight.view(len(weight), 6, largest)[:, :, : member.sum()].flatten(1)
            hidden = hidden @ weight.T + bias[:, 0]
            hidden = hidden.relu() if number < 2 else hidden
        torch.testing.assert_close(logits[:, t], hidden)


def test_a_member_sees_no_feature_outside_its_set() -> None:
    """What every certificate for a fixed family rests on."""
    design = Partitions(20, 5, 3, "stratified", (4, 5))
    smoothed = FixedSmoothedClassifier(ensemble(design), design.ablation, 4)
    x = images(1)
    before = smoothed.ballots(x)[0]
    for feature in range(20):
        changed = x.clone()
        changed[0, :, feature // 5, feature % 5] = 1 - changed[0, :, feature // 5, feature % 5]
        touched = (smoothed.ballots(changed)[0] != before).any(dim=1).numpy()
        member = design.ablation.membership[:, feature]
        assert not touched[~member].any()
        assert touched[member].any()


@pytest.mark.parametrize("rule", Partitions.rules)
def test_no_change_within_the_radius_changes_the_class(rule: str) -> None:
    """Every change of up to the certified number of binary features, on real networks."""
    design = Partitions(9, 4, 2, "random")
    base = SubsetEnsemble(design.ablation.membership, 2, 3, (6, 6))
    for weight in base.parameters():
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    smoothed = FixedSmoothedClassifier(base, design.ablation, 3)
    every = torch.from_numpy(binary_images(9)).float()
    certification = smoothed.certify(every, rule)
    assert (certification.radius >= 1).any()
    assert_no_change_within(certification.radius, certification.label)
    assert certification.alpha == 0
    assert (smoothed.predict(every, rule).label == certification.label).all()


@pytest.mark.parametrize("ballots_per_pass", [1, 4, 1000])
def test_one_network_for_all_sets_votes_once_for_each(ballots_per_pass: int) -> None:
    design = Partitions(20, 3, 2, "random")
    torch.manual_seed(0)
    base, encoding, x = MLP(120, 4), TwoChannelEncoding(), images(7)
    smoothed = FixedSmoothedClassifier(base, design.ablation, 4, ballots_per_pass=ballots_per_pass)
    ballots = smoothed.ballots(x)
    base.eval()
    for t, member in enumerate(design.ablation.membership):
        alone = base(encoding(x, torch.from_numpy(member.copy())[None].expand(7, 20)))
        torch.testing.assert_close(ballots[:, t], alone)
    one, whole = (
        FixedSmoothedClassifier(ensemble(design), design.ablation, 4, ballots_per_pass=limit)
        for limit in (ballots_per_pass, None)
    )
    torch.testing.assert_close(one.ballots(x), whole.ballots(x))
    assert one.ballots(x[:0]).shape == (0, 6, 4)


def test_an_ensemble_of_other_sets_is_refused() -> None:
    base = ensemble(Partitions(20, 5, 1, "random", family_seed=1))
    with pytest.raises(InputError, match="one member or crop for each"):
        FixedSmoothedClassifier(base, Partitions(20, 5).ablation, 4)


def test_inputs_are_checked() -> None:
    design = Partitions(20, 5)
    smoothed = FixedSmoothedClassifier(ensemble(design), design.ablation, 4)
    with pytest.raises(InputError, match="with 20 pixels"):
        smoothed.certify(images(1, (3, 5, 5)))
    with pytest.raises(InputError, match="encoded inputs of 120 numbers"):
        smoothed.certify(images(1, (1, 4, 5)))
    with pytest.raises(InputError, match="rule to be one of"):
        smoothed.certify(images(1), rule="majority")
    with pytest.raises(InputError, match=r"expected the base classifier to give .*\(1, 5, 3\)"):
        FixedSmoothedClassifier(ensemble(design), design.ablation, 3).ballots(images(1))
    with pytest.raises(InputError, match="NoiseEncoding"):
        FixedSmoothedClassifier(ensemble(design), design.ablation, 4, NoiseEncoding(2))
