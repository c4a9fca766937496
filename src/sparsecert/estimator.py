"""A scikit-learn classifier for feature vectors whose predictions come with certified radii."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsecert.certification import Certification
from sparsecert.data.dataset import checked_dataset, scale_features
from sparsecert.designs.family import Partitions
from sparsecert.errors import InputError
from sparsecert.models.architectures import SubsetEnsemble
from sparsecert.rules import check_family_rule
from sparsecert.smoothing.encoding import TwoChannelEncoding
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.training.fit import fit, seeded
from sparsecert.training.recipes import recipe_for

_FEATURES_PER_SET = 3
_STEPS_PER_EPOCH = 16  # or more; a small table would else be left after a few steps


class SparseCertifiedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Small networks on disjoint sets of features, and a vote that few features cannot turn.

    The features are dealt at random into sets, `copies` times over, and a network is trained on
    each set. All of them vote. Changing rho features, whatever their new values, touches only the
    ballots of the sets they are in, which bounds what it can do: `certify` says how many features
    may change before a prediction can, with certainty and for any attacker. It says nothing about
    whether the prediction is correct.

    Missing values (NaN) are features that a network does not see. An attacker may make values
    missing, or fill them in: either is one changed feature.

    Args:
        num_sets: sets of one partition; by default about a third of the number of features. More
            sets certify larger radii and see less each.
        copies: partitions.
        rule: "pairwise", "run-off" or "plurality"; see `certify_ballots`.
        width: of the two hidden layers of each network.
        epochs: passes over the training set.
        random_state: seed of the sets and of training.

    Attributes:
        classes_: the class labels.
        n_features_in_: number of features.
        feature_range_: how each feature is scaled to [0, 1].
        smoothed_: the `FixedSmoothedClassifier`.
    """

    def __init__(
        self,
        num_sets: int | None = None,
        *,
        copies: int = 4,
        rule: str = "pairwise",
        width: int = 32,
        epochs: int = 60,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.num_sets = num_sets
        self.copies = copies
        self.rule = rule
        self.width = width
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> SparseCertifiedClassifier:  # noqa: N803
        """Train the networks.

        Args:
            X: `(samples, features)` numbers; NaN is a missing value.
            y: `(samples,)` class labels, of two classes or more.

        Returns:
            The estimator.
        """
        features, y = validate_data(self, X, y, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                "expected at least 2 classes: the classifier can't train when only one class is "
                "present"
            )
        check_family_rule(self.rule)
        if self.epochs < 1:
            raise InputError(f"expected at least 1 epoch, got {self.epochs}")
        d = self.n_features_in_
        seed = int(check_random_state(self.random_state).randint(2**31))
        num_sets = max(1, d // _FEATURES_PER_SET) if self.num_sets is None else self.num_sets
        design = Partitions(d, num_sets, self.copies, "random", family_seed=seed)
        inputs, self.feature_range_ = scale_features("X", features, features, None)
        names = [str(name) for name in self.classes_]
        dataset = checked_dataset("X", "train", inputs, labels, names, self.feature_range_)
        recipe = recipe_for("fast", dataset.input_shape)
        batch_size = min(recipe.batch_size, max(1, len(dataset) // _STEPS_PER_EPOCH))
        recipe = replace(recipe, epochs=self.epochs, batch_size=batch_size)
        encoding, hidden = TwoChannelEncoding(), (self.width, self.width)
        with seeded(seed):
            base = SubsetEnsemble(
                design.ablation.membership, encoding.output_channels(1), len(names), hidden
            )
        fit(base, dataset, design, encoding, recipe, seed)
        self.smoothed_ = FixedSmoothedClassifier(base, design.ablation, len(names))
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """`(samples,)` class labels, by the vote."""
        certification = self._certify(X)
        labels: NDArray[Any] = self.classes_[certification.label]
        return labels

    def certify(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """`(samples,)` certified radii of the predictions, in features.

        No change of that many features of a sample changes what `predict` says of it. -1 where
        there is no guarantee even for the sample as it is: under "pairwise", where no class beats
        every other.
        """
        return self._certify(X).radius

    def _certify(self, X: ArrayLike) -> Certification:  # noqa: N803
        check_is_fitted(self)
        features = validate_data(self, X, ensure_all_finite="allow-nan", reset=False)
        inputs, _ = scale_features("X", features, features, self.feature_range_)
        return self.smoothed_.certify(torch.from_numpy(inputs), self.rule)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
