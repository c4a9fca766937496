"""`sparsecert attack` as a user runs it, with a small model on digits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sparsecert import UniformAblation, certify_tally
from sparsecert.attacks import AttackPlan, Probe
from sparsecert.attacks.campaign import Certificates, stored_attacks
from sparsecert.attacks.run import attack_run
from sparsecert.attacks.summary import (
    median_attack_magnitude,
    strongest,
    summarise,
    within_certificate,
)
from sparsecert.certification import select_label
from sparsecert.errors import InputError
from sparsecert.procedures.procedure import RunImages
from sparsecert.procedures.run import load_evaluation_data, run_images
from sparsecert.report import tables
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.store import TallySettings, TallyStore
from tests.helpers.commands import (
    GRADIENTS,
    PROBE,
    Fails,
    Output,
    read_json,
    record,
    report,
    run,
    train,
)

CERTIFY = ["--num-selection", 50, "--num-samples", 600]


def attacked(folder: Path, attack: str) -> dict[str, Any]:
    return record(folder / "attacks", f"{attack}.json")


def parts(folder: Path) -> list[Path]:
    return sorted((folder / "attacks").glob("[!.]*.parquet"))


def test_attack_writes_record_and_page(folder: Path, tmp_path: Path, output: Output) -> None:
    copy = tmp_path / "results" / "pointwise.json"
    words = ["attack", folder, "--limit", 4, *PROBE, "--repetitions", 2]
    run(*words, "--record", copy)
    assert "no certificates" in output()
    result = attacked(folder, "pointwise")
    assert read_json(copy) == result
    assert result["successes_within_certificate"] is None

    run("certify", folder, "--limit", 2, *CERTIFY)  # every other of the attacked images
    run(*words)
    run("attack", folder, "--limit", 4, *GRADIENTS, "--attack", "sigma-zero", "--steps", 15)
    assert "median attack magnitude (pixels)" in output()
    result = attacked(folder, "pointwise")
    assert {
        "kind": "attack",
        "classifier": "smoothed",
        "dataset": "digits",
        "attack": "pointwise",
        "num_retained": 12,
        "num_images": 4,
        "num_samples": 300,
        "images_with_votes": 2,
    }.items() <= result.items()
    # 300 ballots abstain on leads that 600 certify; another class would be a contradiction.
    assert result["misclassified_within_certificate"] == []
    assert result["attempts_within_certificate"] > 0
    assert len(result["attack_magnitudes"]) == len(result["certified_radii"]) == 4
    ballots = result["ballots"]
    saved = ballots["saved_by_cache"] + ballots["saved_by_early_answers"]
    assert ballots["drawn"] + saved == ballots["needed_without_savings"]
    assert "--attack pointwise --limit 4 --repetitions 2" in result["command"]
    low, high = result["intervals"]["success"]
    assert low <= result["success"] <= high

    page = report(folder)
    assert "<h2>Attacks</h2>" in page
    assert "strongest on each image" in page
    assert page.count("<svg") == 4
    assert "stop and find the bug" not in page


def test_the_pairwise_rule_is_attacked_and_compared_with_its_own_certificates(
    folder: Path,
) -> None:
    run("certify", folder, "--limit", 4, *CERTIFY)
    # More samples than the certificates: with fewer, PREDICT may abstain on a certified image.
    probe = [2_000 if word == 300 else word for word in GRADIENTS]
    words = ["attack", folder, "--attack", "sigma-zero", "--steps", 15, "--limit", 4, *probe]
    run(*words, "--rule", "pairwise")
    pairwise = attacked(folder, "sigma-zero-pairwise")
    assert pairwise["rule"] == "pairwise"
    assert "--rule pairwise --steps 15 --num-samples 2000" in pairwise["command"]
    assert pairwise["misclassified_within_certificate"] == []
    run(*words, "--rule", "margin")  # whose PREDICT is majority's
    majority = attacked(folder, "sigma-zero")
    assert majority["rule"] is None
    assert len(parts(folder)) == 8  # each rule's attacks are kept
    assert attacked(folder, "sigma-zero-pairwise") == pairwise
    run(*words[:2], "--attack", "sparse-rs", "--steps", 5, *words[6:10], "--rule", "pairwise")
    page = report(folder)
    assert page.count("<th>sigma-zero, pairwise rule</th>") == 1
    assert page.count("<th>sigma-zero</th>") == 1
    assert "strongest on each image, pairwise rule" in page
    assert "strongest on each image</th>" not in page  # of majority there is one attack
    opened = RunFolder.open(folder)
    images, store = run_images(opened, limit=4), TallyStore(opened.tallies_path, 10)
    names = opened.fingerprint(), images.dataset.fingerprint(), 0
    selection = store.read(TallySettings(*names, "selection", 50))
    votes = store.read(TallySettings(*names, "estimation", 600))
    np.testing.assert_array_equal(votes.indices, images.indices)
    label = select_label(selection.votes, "pairwise")
    design = opened.config.design
    assert isinstance(design, UniformAblation)
    radius = certify_tally(votes.votes, label, design, 0.05, "pairwise").radius
    radius = np.where(label == images.targets, radius, -1)
    assert pairwise["certified_radii"] == radius.tolist()
    assert pairwise["certified_radii"] != majority["certified_radii"]


def test_stored_attacks_are_kept_apart_by_plan_and_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder = RunFolder.open(folder)
    probe = Probe(num_samples=100, num_search=50, num_gradient=8)
    plans = [
        AttackPlan("sigma-zero", steps=3, probe=probe),
        AttackPlan("sigma-zero", steps=3, probe=probe, seed=1),
        AttackPlan("pointwise", repetitions=1, probe=probe),
    ]
    records = [attack_run(run_folder, plan, 2) for plan in plans]
    assert len(parts(folder)) == 6
    monkeypatch.setattr("sparsecert.attacks.plan.ATTACKS", {plan.attack: None for plan in plans})
    dataset = load_evaluation_data(run_folder)
    for plan, made in zip(plans, records, strict=True):
        assert AttackPlan.from_json(made["plan"]) == plan
        assert attack_run(run_folder, plan, 2)["attack_magnitudes"] == made["attack_magnitudes"]
        stored = stored_attacks(run_folder, dataset, plan, 2)
        sizes = stored.votes.size.tolist()
        assert sizes == made["attack_magnitudes"]
        changed = stored.votes.adversarial != dataset.batch(stored.indices)
        assert changed.flatten(1).sum(dim=1).tolist() == [max(0, size) for size in sizes]


def test_a_success_within_a_certified_radius_is_shouted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    """A certificate that claims everything, which no attack may leave unnoticed."""

    def boastful(images: RunImages, *_: object) -> Certificates:
        number = len(images.indices)
        return Certificates(np.full(number, 64), np.ones(number, dtype=bool))

    monkeypatch.setattr("sparsecert.attacks.run.stored_certificates", boastful)
    words = ["attack", folder, "--attack", "sigma-zero", "--steps", 15, "--limit", 3, *GRADIENTS]
    often = ("--alpha", 0.99)  # hardly ever abstains
    error = fails("error: sigma-zero changed the class of", *words, *often, status=1)
    assert "stop and find the bug" in error
    result = attacked(folder, "sigma-zero")
    assert result["successes_within_certificate"] > 0
    run("certify", folder, "--limit", 3, *CERTIFY)
    assert "stop and find the bug" in report(folder)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--budget", 0], "budget of at least 1"),
        (["--steps", 5], "no number of steps for pointwise"),
        (["--attack", "greedy", "--repetitions", 2], "no repetitions for greedy"),
        (["--attack", "sparse-rs", "--steps", 0], "steps"),
        (["--num-samples", 0], "num_samples"),
        (["--alpha", 1], "alpha"),
        (["--repetitions", 0], "repetitions"),
        (["--seed", -1], "seed"),
        (["--limit", 0], "limit"),
        (["--data", "breast-cancer"], "inputs of shape (1, 8, 8)"),
        (["--rule", "run-off"], "run-off"),
    ],
)
def test_bad_input_ends_in_a_sentence(
    digits_run: Path, fails: Fails, words: list[object], sentence: str
) -> None:
    fails(sentence, "attack", digits_run, *words)


def test_damaged_and_foreign_parts_get_a_sentence(
    folder: Path, tmp_path: Path, fails: Fails
) -> None:
    words = ["--attack", "sigma-zero", "--steps", 1, "--limit", 1, *GRADIENTS]
    run("attack", folder, *words)
    (part,) = parts(folder)
    assert pq.read_table(part).num_rows == 1
    other = train(tmp_path / "other", "--retained", 12, "--epochs", 1)
    shutil.copytree(folder / "attacks", other / "attacks")
    fails("another model", "attack", other, *words)
    part.write_bytes(part.read_bytes()[:-7])
    fails("truncated", "attack", folder, *words)


def test_medians_and_intervals() -> None:
    assert median_attack_magnitude([0, 3, 4, 9]) == 3.5
    assert median_attack_magnitude([-1, 3, 4]) == 4
    assert median_attack_magnitude([-1, -1, 4]) is None
    summary = summarise(np.array([0, 5, 6, 7, 8, 9, -1, -1]))
    assert summary.median == 7.5
    assert summary.median_interval == (0, None)
    assert (summary.accuracy.value, summary.success.value) == (7 / 8, 6 / 8)
    assert summarise(np.array([1, 2])).median_interval is None
    sizes = [np.array([4, -1, 0, -1]), np.array([5, 3, -1, -1])]
    assert strongest(sizes).tolist() == [4, 3, 0, -1]
    within = within_certificate(
        np.array([2, 3, 2, -1, 0]), np.array([1, 1, -1, 0, 1]), np.array([2, 2, 2, 2, -1])
    )
    assert within.attempts == 4
    assert within.misclassified.tolist() == [0]
    assert within.abstained.tolist() == [2]


@pytest.mark.parametrize(
    ("wrong", "unsure", "words"),
    [
        ([], [], "0 of 17 images"),
        ([], [1000], "0 misclassified, 1 abstained on, of 17 images"),
        ([7, 9], [1000], "2 misclassified, 1 abstained on, of 17 images"),
    ],
)
def test_a_cell_tells_a_changed_class_from_an_abstention(
    wrong: list[int], unsure: list[int], words: str
) -> None:
    record = {
        "attempts_within_certificate": 17,
        "successes_within_certificate": len(wrong) + len(unsure),
        "misclassified_within_certificate": wrong,
        "abstained_within_certificate": unsure,
    }
    assert tables.within_certificate(record) == words
    assert tables.within_certificate({"successes_within_certificate": None}) == "no certificates"


def test_a_plan_names_its_rule_once() -> None:
    """Attacks stored by earlier versions are found by these values."""
    default = AttackPlan("pointwise")
    assert default.to_json() == {
        "attack": "pointwise",
        "budget": None,
        "repetitions": 10,
        "start": "noise",
        "steps": None,
        "probe": {"num_samples": 10_000, "alpha": 0.05, "num_search": 1_000, "num_gradient": 256},
        "seed": 0,
        "rule": None,
    }
    for rule in ("majority", "margin"):
        assert AttackPlan("pointwise", rule=rule).to_json() == default.to_json()
    pairwise = AttackPlan("pointwise", rule="pairwise")
    assert AttackPlan.from_json(pairwise.to_json()) == pairwise
    assert pairwise.procedure.rule == "pairwise"
    with pytest.raises(InputError, match="as the plan's, not the probe's, got pairwise"):
        AttackPlan("pointwise", probe=Probe(rule="pairwise"))
    with pytest.raises(InputError, match=r"expected a rule out of .*, got nonsense"):
        AttackPlan("pointwise", rule="nonsense")
    with pytest.raises(InputError, match="expected a rule to attack"):
        Probe(rule="plurality")
