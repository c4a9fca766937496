"""Tables of categories and of columns that belong together, as the estimator sees them."""

from __future__ import annotations

import itertools
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sparsecert as sc
from sparsecert.errors import InputError
from sparsecert.estimator import classifier
from sparsecert.estimator.classifier import SparseCertifiedClassifier
from sparsecert.training.fit import fit

RULES = ["pairwise", "run-off", "plurality"]
CELLS = ("a", "b", "c", "unseen")
# Every row of four cells: what an attacker can make of any of them.
ROWS = pd.DataFrame(
    list(itertools.product(CELLS, repeat=4)), columns=["w", "x", "y", "z"], dtype="category"
)
SEEN = (ROWS != "unseen").all(axis=1)
CHANGED = (ROWS.to_numpy()[:, None] != ROWS.to_numpy()[None]).sum(axis=2)
MOST = np.array([row.count("a") - row.count("c") for row in ROWS.to_numpy().tolist()])
CLASSES = np.where(MOST > 0, "high", np.where(MOST < 0, "low", "level"))


def wrong_certificates(model: Any, rows: Any) -> int:
    """Pairs of rows within the radius of the first that have different labels."""
    label, radius = model.predict(rows), model.certify(rows)
    assert (radius >= 1).any()
    within = radius[:, None] >= CHANGED
    return int((within & (label[:, None] != label[None])).sum())


def one_hot() -> tuple[NDArray[Any], list[int]]:
    """The rows by an encoder of scikit-learn, and the cell that each column is of."""
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(ROWS[SEEN])
    cells = [cell for cell, names in enumerate(encoder.categories_) for _ in names]
    return encoder.transform(ROWS), cells


def test_one_hot_columns_without_groups_count_columns_and_not_cells() -> None:
    """Why there are groups: with each column a feature, two changed columns are one cell."""
    encoded, _ = one_hot()
    model = SparseCertifiedClassifier(num_sets=12, copies=1, width=8, epochs=20)
    assert wrong_certificates(model.fit(encoded[SEEN], CLASSES[SEEN]), encoded) > 0


@pytest.mark.parametrize(("num_sets", "copies", "seed"), [(4, 1, 0), (4, 1, 1), (3, 3, 2)])
def test_no_change_of_cells_within_the_radius_changes_a_prediction(
    num_sets: int, copies: int, seed: int
) -> None:
    """Every attacker over all cells, one-hot with groups and with categories as they are."""
    model = SparseCertifiedClassifier(
        num_sets, copies=copies, width=8, epochs=12, random_state=seed
    )
    encoded, groups = one_hot()
    for rows, options in ((ROWS, {}), (encoded, {"groups": groups})):
        model.set_params(**options).fit(rows[SEEN], CLASSES[SEEN])
        for rule in RULES:
            assert wrong_certificates(model.set_params(rule=rule), rows) == 0


def test_columns_of_one_group_are_in_the_same_sets_and_may_have_names() -> None:
    encoded, groups = one_hot()
    options: dict[str, Any] = {"num_sets": 3, "epochs": 1}
    by_number = SparseCertifiedClassifier(groups=np.array(groups), **options)
    by_name = SparseCertifiedClassifier(groups=[ROWS.columns[g] for g in groups], **options)
    radii = [m.fit(encoded[SEEN], CLASSES[SEEN]).certify(encoded) for m in (by_number, by_name)]
    assert (radii[0] == radii[1]).all()
    assert by_name.groups_.tolist() == groups
    assert by_name.family_.num_features == 4
    columns = by_name.smoothed_.ablation.membership
    assert (columns == by_name.family_.membership[:, groups]).all()


@pytest.mark.parametrize("rule", RULES)
def test_protected_cells_are_always_seen_and_never_counted(rule: str) -> None:
    """Every attacker over the other cells."""
    options: dict[str, Any] = {"num_sets": 3, "copies": 1, "width": 8, "epochs": 20, "rule": rule}
    model = SparseCertifiedClassifier(protected=["z"], **options).fit(ROWS[SEEN], CLASSES[SEEN])
    assert model.groups_.tolist() == [0, 1, 2, -1]
    columns = model.smoothed_.ablation.membership
    assert columns[:, model.columns_.source == 3].all()
    assert (columns[:, model.columns_.source != 3].sum(axis=0) == 1).all()
    label, radius = model.predict(ROWS), model.certify(ROWS)
    assert (radius >= 1).any()
    attackable = ROWS["z"].to_numpy()[:, None] == ROWS["z"].to_numpy()[None]
    reached = attackable & (radius[:, None] >= CHANGED)
    assert not (reached & (label[:, None] != label[None])).any()
    by_number = SparseCertifiedClassifier(protected=[3], **options)
    assert (by_number.fit(ROWS[SEEN], CLASSES[SEEN]).predict(ROWS) == label).all()


def test_groups_of_a_frame_join_its_columns() -> None:
    model = SparseCertifiedClassifier(groups=["l", "m", "n", "m"], epochs=1)
    model.fit(ROWS[SEEN], CLASSES[SEEN])
    assert model.family_.num_features == 3
    sets = model.smoothed_.ablation.membership
    assert sets.shape[1] == 12
    assert (sets[:, 3:6] == sets[:, 9:12]).all()  # three categories each


def mixed_table(rows: int = 200) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    size = generator.normal(size=rows)
    colour = generator.choice(["red", "blue"], rows)
    table = pd.DataFrame(
        {
            "size": size,
            "whole": pd.Series(generator.integers(5, size=rows)).astype("Int64"),
            "numbers as objects": pd.Series(list(generator.normal(size=rows)), dtype=object),
            "colour": colour,
            "place": pd.Categorical(generator.choice(["here", "there"], rows)),
            "flag": generator.random(rows) < 0.5,
        }
    )
    table.loc[::7, "colour"] = None
    table.loc[::5, "whole"] = pd.NA
    return table, ((size > 0) ^ (colour == "red")).astype(np.int64)


def test_each_column_of_a_frame_is_one_feature_whatever_it_holds() -> None:
    table, y = mixed_table()
    model = SparseCertifiedClassifier(epochs=1).fit(table, y)
    assert model.n_features_in_ == model.family_.num_features == 6
    assert [known and list(known) for known in model.columns_.categories] == [
        *[None] * 3,
        ["blue", "red"],
        ["here", "there"],
        None,
    ]
    assert list(model.feature_names_in_) == list(table.columns)
    shuffled = table.sample(frac=1, random_state=0)
    again = SparseCertifiedClassifier(epochs=1).fit(shuffled, y[shuffled.index])
    assert again.columns_ == model.columns_


def test_categories_are_seen_by_the_networks() -> None:
    table, y = mixed_table()
    model = SparseCertifiedClassifier(num_sets=1, epochs=40).fit(table[["size", "colour"]], y)
    known = table["colour"].notna()
    assert (model.predict(table[["size", "colour"]]) == y)[known].mean() > 0.9


def test_an_unseen_category_is_a_missing_value() -> None:
    table, y = mixed_table()
    model = SparseCertifiedClassifier(epochs=5).fit(table, y)
    unseen, missing = table.copy(), table.copy()
    unseen["colour"], unseen["place"] = "green", 3
    missing["colour"], missing["place"] = None, None
    assert (model.predict_proba(unseen) == model.predict_proba(missing)).all()


def test_a_column_without_any_value_is_a_feature() -> None:
    table, y = mixed_table()
    table["empty"] = None
    model = SparseCertifiedClassifier(epochs=1).fit(table, y)
    before = model.predict(table)
    table["empty"] = "something"
    assert (model.predict(table) == before).all()
    assert model.family_.num_features == 7


def test_a_frame_of_numbers_gives_what_an_array_gives() -> None:
    x, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(x, columns=list("abcd"))
    by_frame = SparseCertifiedClassifier(epochs=2).fit(frame, y).predict_proba(frame)
    assert (SparseCertifiedClassifier(epochs=2).fit(x, y).predict_proba(x) == by_frame).all()


DATES = pd.DataFrame({"day": pd.to_datetime(["2020-01-01"] * 8), "b": range(8)})
LISTS = pd.DataFrame({"a": [[1]] * 8, "b": range(8)})


@pytest.mark.parametrize(
    ("table", "options", "sentence"),
    [
        (DATES, {}, "column 'day' of type datetime64"),
        (LISTS, {}, "categories such as strings or numbers in column 'a'"),
        (pd.DataFrame({"a": [np.inf] * 8}), {}, "infinity"),
        (sparse.csr_array(np.eye(8)), {}, "sparse_output=False"),
        (np.eye(8), {"groups": [0] * 7}, "each of 8 columns, got 7"),
        (np.eye(8), {"groups": [0.5] * 8}, "groups as integers or names, got 0.5"),
        (np.eye(8), {"groups": "auto"}, "groups as a list"),
        (np.eye(8), {"protected": "age"}, "protected as a list of columns, got 'age'"),
        (np.eye(8), {"protected": [8]}, "numbers from 0 to 7, got 8"),
        (np.eye(8), {"protected": range(8)}, "all 8 entries are protected"),
        (np.eye(8), {"groups": [0, 1] * 4, "num_sets": 3}, "num_sets between 1"),
        (np.eye(8), {"epochs": 1.5}, "epochs to be an integer, got 1.5"),
        (np.eye(8), {"epochs": 0}, "epochs to be at least 1"),
        (np.eye(8), {"width": -3}, "width to be at least 1, got -3"),
        (np.eye(8), {"width": 2.5}, "width to be an integer"),
        (np.eye(8), {"copies": 1.5}, "copies to be an integer"),
        (np.eye(8), {"num_sets": 2.5}, "num_sets to be an integer"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_gets_a_sentence(table: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SparseCertifiedClassifier(**options).fit(table, [0, 1] * 4)


def test_other_tables_than_in_training_get_a_sentence() -> None:
    table, y = mixed_table()
    model = SparseCertifiedClassifier(epochs=1).fit(table, y)
    with pytest.raises(InputError, match="expected a DataFrame"):
        model.predict(table.to_numpy())
    with pytest.raises(InputError, match="expected numbers in column 'size'"):
        model.predict(table.assign(size="large"))
    with pytest.raises(InputError, match="in column 'colour'"):
        model.predict(table.assign(colour=[[1]] * len(table)))
    with pytest.raises(InputError, match="sparse matrix"):
        model.predict(sparse.csr_array(np.eye(6)))
    with pytest.raises(ValueError, match="expecting 6 features"):
        SparseCertifiedClassifier(epochs=1).fit(np.eye(6), [0, 1] * 3).predict(np.eye(5))


@pytest.mark.parametrize(("features", "sets"), [(1, 1), (2, 1), (3, 3), (8, 3), (30, 10)])
def test_by_default_something_can_be_certified(features: int, sets: int) -> None:
    x = np.random.default_rng(0).normal(size=(40, features))
    model = SparseCertifiedClassifier(epochs=1).fit(x, x[:, 0] > 0)
    assert model.family_.num_sets == 4 * sets


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("num_sets", "words"),
    [(1, "unanimous vote certifies"), (2, "for any class but no certifies"), (3, None)],
)
def test_where_nothing_can_be_certified_it_says_so(
    rule: str, num_sets: int, words: str | None
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    y = np.where(x[:, 0] > 0, "yes", "no")
    model = SparseCertifiedClassifier(num_sets, rule=rule, epochs=1).fit(x, y)
    model.predict(x)
    if words is None:
        model.certify(x)
        return
    for certify in (model.certify, model.certify_rows):
        with pytest.warns(sc.TooFewSetsWarning, match=words):
            certify(x)


@pytest.mark.parametrize("rule", RULES)
def test_shares_of_the_vote_agree_with_the_prediction(rule: str) -> None:
    """On labels by chance, where ballots are of all kinds and the rules differ."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(1_000, 5)), generator.integers(4, size=1_000)
    model = SparseCertifiedClassifier(5, copies=2, rule=rule, epochs=1, width=4).fit(x, y)
    rows, shares = model.certify_rows(x), model.predict_proba(x)
    first = rows.votes / 10
    assert (rows.radius < 0).any() == (rule == "pairwise")
    assert (first.argmax(axis=1) != rows.label).any() == (rule != "plurality")
    assert (shares.argmax(axis=1) == rows.label).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    plain = rows.radius < 0 if rule == "pairwise" else np.full(1_000, rule == "plurality")
    np.testing.assert_array_equal(shares[plain], first[plain])
    assert (shares[np.arange(1_000), rows.label] >= first[np.arange(1_000), rows.label]).all()


def test_rows_tell_label_radius_votes_and_runner_up() -> None:
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    model = SparseCertifiedClassifier(epochs=5, rule="plurality").fit(x, names[y])
    rows = model.certify_rows(x)
    assert (rows.label == model.predict(x)).all()
    assert (rows.radius == model.certify(x)).all()
    assert rows.votes.shape == (150, 3)
    assert (rows.votes.sum(axis=1) == 12).all()
    for label, votes, runner_up in zip(rows.label, rows.votes, rows.runner_up, strict=True):
        assert label != runner_up
        others = [count for name, count in zip(names, votes, strict=True) if name != label]
        assert votes[names == runner_up] == max(others)


def test_a_search_may_maximise_certified_accuracy() -> None:
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SparseCertifiedClassifier(epochs=5))
    scorer = pickle.loads(pickle.dumps(sc.certified_accuracy_scorer(2)))
    grid = {"sparsecertifiedclassifier__num_sets": [3, 4]}
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=3, error_score="raise").fit(x, y)
    assert search.best_params_["sparsecertifiedclassifier__num_sets"] == 4
    best = search.best_estimator_
    inside = best[:-1].transform(x)
    correct = best.predict(x) == y
    expected = sc.certified_accuracy(best[-1].certify(inside), correct, 2)
    assert scorer(best, x, y) == expected > 0
    assert scorer(Pipeline([("model", best[-1])]), inside, y) == scorer(best[-1], inside, y)
    assert search.score(x, y) == expected


@pytest.mark.usefixtures("unchecked")
def test_a_scorer_asks_for_certificates_and_a_whole_rho() -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(InputError, match="a Pipeline that ends in one, got StandardScaler"):
        sc.certified_accuracy_scorer(1)(make_pipeline(StandardScaler()), x, y)
    with pytest.raises(InputError, match="rho of at least 0"):
        sc.certified_accuracy_scorer(-1)
    with pytest.raises(InputError, match="rho to be an integer"):
        sc.certified_accuracy_scorer(1.5)  # type: ignore[arg-type]


def test_own_certificates_can_be_drawn(tmp_path: Path) -> None:
    radius, correct = [2, 0, -1, 3], [True, True, True, False]
    figure = sc.plot_certified_accuracy(radius, correct, unit="cells")
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(
        line.get_ydata(), sc.certified_accuracy(radius, correct, range(4))
    )
    assert figure.axes[0].get_xlabel() == "changed cells, rho"
    figure.savefig(tmp_path / "curve.png")


def test_a_small_ensemble_is_trained_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = load_iris(return_X_y=True)
    seen: list[int] = []

    def watched(*arguments: Any) -> None:
        seen.append(torch.get_num_threads())
        fit(*arguments)

    monkeypatch.setattr(classifier, "fit", watched)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        SparseCertifiedClassifier(epochs=1).fit(x, y)
        monkeypatch.setattr(classifier, "_FOR_ONE_THREAD", 0)
        SparseCertifiedClassifier(epochs=1).fit(x, y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


def test_fits_in_several_threads_do_not_disturb_one_another() -> None:
    x, y = load_iris(return_X_y=True)
    alone = SparseCertifiedClassifier(epochs=3).fit(x, y).predict_proba(x)
    shares: list[Any] = []

    def train() -> None:
        shares.append(SparseCertifiedClassifier(epochs=3).fit(x, y).predict_proba(x))

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shares) == 4
    assert all((found == alone).all() for found in shares)
