"""A scikit-learn classifier for feature vectors whose predictions come with certified radii."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_array, check_random_state, check_X_y
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sparsecert.certification import Certification, certify_ballots
from sparsecert.data.dataset import checked_dataset, scale_features
from sparsecert.designs.family import FixedAblation, Partitions
from sparsecert.designs.units import protect
from sparsecert.errors import InputError, TooFewSetsWarning, as_integer
from sparsecert.estimator.columns import TableColumns, is_table, number_columns, number_groups
from sparsecert.models.architectures import SubsetEnsemble
from sparsecert.rules import check_family_rule
from sparsecert.smoothing.encoding import TwoChannelEncoding
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.training.fit import fit, seeded
from sparsecert.training.recipes import recipe_for

_FEATURES_PER_SET = 3
_FEWEST_SETS = 3  # with fewer, not every class can be certified against one feature
_STEPS_PER_EPOCH = 16  # or more; a small table would else be left after a few steps
# Products of a training step up to which threads wait for each other longer than they compute.
_FOR_ONE_THREAD = 2**24
# Torch has one state of its random numbers and one number of threads for the whole process.
_TRAINING = threading.Lock()


@dataclass(frozen=True)
class RowCertificates:
    """What `SparseCertifiedClassifier` says of each row of a table.

    Attributes:
        label: `(rows,)` class labels, as `predict` gives them.
        radius: `(rows,)` features that may change without changing the label; -1 where nothing
            is certified.
        votes: `(rows, classes)` ballots for each class, in the order of `classes_`.
        runner_up: `(rows,)` of the other classes the one of most votes.
    """

    label: NDArray[Any]
    radius: NDArray[np.int64]
    votes: NDArray[np.int64]
    runner_up: NDArray[Any]


class SparseCertifiedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Small networks on disjoint sets of features, and a vote that few features cannot turn.

    The features are dealt at random into sets, `copies` times over, and a network is trained on
    each set. All of them vote. Changing rho features, whatever their new values, touches only the
    ballots of the sets they are in, which bounds what it can do: `certify` says how many features
    may change before a prediction can, with certainty and for any attacker. It says nothing about
    whether the prediction is correct.

    A feature is a column of what `fit` is given, or a group of columns. In a DataFrame, columns of
    type category, object or string hold categories, and each is one feature: its categories are
    learned in `fit`, and one that was not seen there is a missing value. Where categories have
    been turned into several columns before, `groups` says which belong together; else a radius
    counts those columns, and one changed category changes two of them.

    A radius is about the table as an attacker can change it only if what comes before the
    estimator works feature by feature. Scalers of single columns and ordinal encoders do;
    `OneHotEncoder` does with `groups`; what mixes columns, such as `PCA`, `IterativeImputer`,
    `KNNImputer` or `Normalizer`, does not, nor does anything that is fitted again to the rows that
    are certified.

    Missing values (NaN) are features that a network does not see. An attacker may make values
    missing, or fill them in: either is one changed feature.

    Args:
        num_sets: sets of one partition; by default a third of the number of features, and at least
            3, with fewer features 1. More sets certify larger radii and see less each; fewer than
            3 hardly certify anything.
        copies: partitions.
        rule: "pairwise", "run-off" or "plurality"; see `certify_ballots`.
        groups: a number or a name for each column. Columns of one group are one feature: they are
            in the same sets, and a radius counts them once. By default each column is a feature.
        protected: names or numbers of columns that no attacker can change. Every network sees them,
            and a radius does not count them.
        width: of the two hidden layers of each network.
        epochs: passes over the training set.
        random_state: seed of the sets and of training.

    Attributes:
        classes_: the class labels.
        n_features_in_: number of columns.
        feature_names_in_: their names, where they have names.
        columns_: how columns became numbers (`TableColumns`).
        groups_: `(n_features_in_,)` the feature that each column belongs to, from 0; -1 where it is
            protected.
        feature_range_: how each number is scaled to [0, 1].
        family_: the retained sets of features, a `FixedAblation`.
        smoothed_: the `FixedSmoothedClassifier` of the scaled numbers.
    """

    def __init__(
        self,
        num_sets: int | None = None,
        *,
        copies: int = 4,
        rule: str = "pairwise",
        groups: Sequence[int | str] | NDArray[Any] | None = None,
        protected: Sequence[int | str] | None = None,
        width: int = 32,
        epochs: int = 60,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.num_sets = num_sets
        self.copies = copies
        self.rule = rule
        self.groups = groups
        self.protected = protected
        self.width = width
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike) -> SparseCertifiedClassifier:  # noqa: N803
        """Train the networks.

        A small ensemble is trained by one thread, whatever torch is set to, as several would
        mostly wait for each other. Fits in several threads of one process take turns.

        Args:
            X: `(samples, columns)` numbers, or a DataFrame of numbers and categories; NaN is a
                missing value.
            y: `(samples,)` class labels, of two classes or more.

        Returns:
            The estimator.

        Raises:
            InputError: for options out of range, or columns that hold neither.
        """
        values, y = self._training_data(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                "expected at least 2 classes: the classifier can't train when only one class is "
                "present"
            )
        check_family_rule(self.rule)
        epochs, width = _positive(self.epochs, "epochs"), _positive(self.width, "width")
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        hidden = number_columns(self.protected, list(names))
        self.groups_ = protect(number_groups(self.groups, self.n_features_in_), hidden)
        d = int(self.groups_.max()) + 1
        seed = int(check_random_state(self.random_state).randint(2**31))
        num_sets = _default_num_sets(d) if self.num_sets is None else self.num_sets
        self.family_ = Partitions(d, num_sets, self.copies, "random", family_seed=seed).ablation
        # A number is in the sets that its feature is in, or in all if it is protected, so a ballot
        # depends on the features of its set only, which is all that a certificate asks.
        everywhere = np.ones((self.family_.num_sets, 1), dtype=np.bool_)
        shown = np.hstack((self.family_.membership, everywhere))  # -1 is the last
        membership = shown[:, self.groups_[self.columns_.source]]
        inputs, self.feature_range_ = scale_features("X", values, values, None)
        classes = [str(name) for name in self.classes_]
        dataset = checked_dataset("X", "train", inputs, labels, classes, self.feature_range_)
        recipe = recipe_for("fast", dataset.input_shape)
        batch_size = min(recipe.batch_size, max(1, len(dataset) // _STEPS_PER_EPOCH))
        recipe = replace(recipe, epochs=epochs, batch_size=batch_size)
        encoding, everything = TwoChannelEncoding(), Partitions(inputs.shape[1], num_sets=1)
        with _TRAINING:
            with seeded(seed):
                base = SubsetEnsemble(
                    membership, encoding.output_channels(1), len(classes), (width, width)
                )
            with _threads_for(base, batch_size):
                fit(base, dataset, everything, encoding, recipe, seed)
        self.smoothed_ = FixedSmoothedClassifier(base, FixedAblation(membership), len(classes))
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """`(samples,)` class labels, by the vote."""
        label = self._vote(X).label
        return np.asarray(self.classes_[label])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """`(samples, classes)` shares of the ballots: of a vote, and no calibrated probabilities.

        Under "plurality", and with two classes, a class's share is that of the ballots that rank
        it first. The other rules count head to head: the label's share is then that against the
        strongest rival, or in the final, and the other classes divide the rest in proportion to
        the ballots that rank them first. So the largest share is always the label's. Where no
        class beats every other, the shares are those under "plurality".
        """
        vote = self._vote(X)
        shares = vote.tally.first_choice / self.family_.num_sets
        own = np.take_along_axis(shares, vote.label[:, None], axis=1)[:, 0]
        (rows,) = np.nonzero((vote.lower_bound > own) & (vote.radius >= 0))
        counted = vote.lower_bound[rows]
        shares[rows] *= ((1 - counted) / (1 - own[rows]))[:, None]
        shares[rows, vote.label[rows]] = counted
        return np.asarray(shares)

    def certify(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """`(samples,)` certified radii of the predictions, in features.

        No change of that many features of a sample changes what `predict` says of it. -1 where
        there is no guarantee even for the sample as it is: under "pairwise", where no class beats
        every other.

        Warns:
            TooFewSetsWarning: if even a unanimous vote certifies no radius above 0.
        """
        return self._certified(X).radius

    def certify_rows(self, X: Any) -> RowCertificates:  # noqa: N803
        """Labels, certified radii and votes, row by row.

        Warns:
            TooFewSetsWarning: if even a unanimous vote certifies no radius above 0.
        """
        certification = self._certified(X)
        votes, label = certification.tally.first_choice, certification.label
        others = votes.copy()
        np.put_along_axis(others, label[:, None], -1, axis=1)
        return RowCertificates(
            self.classes_[label], certification.radius, votes, self.classes_[others.argmax(axis=1)]
        )

    def _vote(self, X: Any) -> Certification:  # noqa: N803
        check_is_fitted(self)
        values = self._values(X)
        inputs, _ = scale_features("X", values, values, self.feature_range_)
        ballots = self.smoothed_.ballots(torch.from_numpy(inputs)).numpy()
        return certify_ballots(ballots, self.family_, self.rule)

    def _values(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Columns as numbers, as in training."""
        _check_dense(X)
        if is_table(X):
            validate_data(self, X, reset=False, skip_check_array=True)
            X = self.columns_.encode(X)  # noqa: N806
            return np.asarray(check_array(X, ensure_all_finite="allow-nan", estimator=self))
        if self.columns_.hold_categories:
            raise InputError(
                "expected a DataFrame, as in fit, since some of its columns hold categories; "
                f"got {type(X).__name__}"
            )
        return np.asarray(validate_data(self, X, ensure_all_finite="allow-nan", reset=False))

    def _training_data(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:  # noqa: N803
        """Columns as numbers, and labels."""
        _check_dense(X)
        if not is_table(X):
            values, y = validate_data(self, X, y, ensure_all_finite="allow-nan")
            self.columns_ = TableColumns.learn(values)
            return values, y
        validate_data(self, X, y, skip_check_array=True)
        self.columns_ = TableColumns.learn(X)
        values, y = check_X_y(
            self.columns_.encode(X), y, ensure_all_finite="allow-nan", estimator=self
        )
        return values, y

    def _certified(self, X: Any) -> Certification:  # noqa: N803
        """The vote, with a warning where certificates cannot be had."""
        certification = self._vote(X)
        classes, ballots = len(self.classes_), self.family_.num_sets
        # Of equal counts the smaller class wins, so the last class has the smallest radius.
        unanimous = np.zeros((2, ballots, classes))
        unanimous[0, :, 0] = unanimous[1, :, -1] = 1
        first, last = certify_ballots(unanimous, self.family_, self.rule).radius
        if last < 1:
            whom = "" if first < 1 else f" for any class but {self.classes_[0]}"
            num_sets = ballots // int(self.family_.membership[:, 0].sum())
            warnings.warn(
                f"with num_sets = {num_sets} not even a unanimous vote{whom} certifies a radius "
                f"above 0; choose {_FEWEST_SETS} or more, which takes as many features",
                TooFewSetsWarning,
                stacklevel=3,
            )
        return certification

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _default_num_sets(num_features: int) -> int:
    if num_features < _FEWEST_SETS:
        return 1  # no certificate is to be had, so see everything
    return max(_FEWEST_SETS, num_features // _FEATURES_PER_SET)


def _positive(value: int, name: str) -> int:
    number = as_integer(value, name)
    if number < 1:
        raise InputError(f"expected {name} to be at least 1, got {number}")
    return number


def _check_dense(x: Any) -> None:
    if sparse.issparse(x):
        raise InputError(
            "expected dense rows, got a sparse matrix; OneHotEncoder(sparse_output=False) and "
            ".toarray() give dense ones, and a DataFrame's categories need no encoder"
        )


@contextlib.contextmanager
def _threads_for(base: nn.Module, batch_size: int) -> Iterator[None]:
    """One thread for torch while a small network is trained."""
    before = torch.get_num_threads()
    if batch_size * sum(weight.numel() for weight in base.parameters()) <= _FOR_ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
