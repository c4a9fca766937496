from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import check_estimator

import sparsecert as sc
from sparsecert.errors import InputError
from sparsecert.estimator.classifier import SparseCertifiedClassifier


@pytest.mark.usefixtures("unchecked")
def test_it_behaves_like_any_estimator() -> None:
    results = check_estimator(
        SparseCertifiedClassifier(copies=1, width=16, epochs=5), on_skip=None, on_fail=None
    )
    failed = [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")]
    assert failed == []
    assert sum(r["status"] == "passed" for r in results) > 40


def test_most_of_breast_cancer_is_certified_against_two_features() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, random_state=0, stratify=y)
    model = sc.SparseCertifiedClassifier(epochs=20).fit(train_x, train_y)
    correct = model.predict(test_x) == test_y
    radius = model.certify(test_x)
    assert correct.mean() > 0.85
    assert sc.certified_accuracy(radius, correct, 2) > 0.7
    assert (radius <= 5).all()  # ten sets in each of four partitions: six features reach half


def test_no_change_within_the_radius_changes_a_prediction() -> None:
    """Every pair of features set to extremes, to other samples' values, and to missing."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 6))
    y = np.where(x.sum(axis=1) > 0, "high", "low")
    model = SparseCertifiedClassifier(num_sets=6, copies=1, width=16, epochs=40).fit(x, y)
    sure = x[model.certify(x) >= 2][:10]
    assert len(sure) == 10
    before = model.predict(sure)
    for pair in itertools.combinations(range(6), 2):
        for values in itertools.product((-1e9, 0.0, 1e9, np.nan), repeat=2):
            changed = sure.copy()
            changed[:, pair] = values
            assert (model.predict(changed) == before).all()


def test_missing_values_are_features_not_seen() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 8))
    y = (x[:, :4].sum(axis=1) > 0).astype(int)
    x[generator.random(x.shape) < 0.2] = np.nan
    model = SparseCertifiedClassifier(num_sets=4, width=16, epochs=40).fit(x, y)
    assert (model.predict(x) == y).mean() > 0.75
    nothing = np.full((1, 8), np.nan)
    assert model.predict(nothing)[0] in (0, 1)


def test_a_seed_repeats_it() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    radii = [
        SparseCertifiedClassifier(epochs=2, random_state=seed).fit(x, y).certify(x)
        for seed in (3, 3, 4)
    ]
    assert (radii[0] == radii[1]).all()
    assert (radii[0] != radii[2]).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"num_sets": 7}, "num_sets between 1"), ({"rule": "majority"}, "rule to be one of")],
)
def test_bad_options_get_a_sentence(arguments: dict[str, object], words: str) -> None:
    x = np.random.default_rng(0).normal(size=(30, 6))
    with pytest.raises(InputError, match=words):
        SparseCertifiedClassifier(epochs=1, **arguments).fit(x, x[:, 0] > 0).predict(x)  # type: ignore[arg-type]
