"""Certified accuracy as a scorer of scikit-learn's searches and cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from sparsecert.errors import InputError, as_integer
from sparsecert.evaluation import certified_accuracy


def certified_accuracy_scorer(rho: int) -> Callable[[Any, Any, ArrayLike], float]:
    """A scorer: the share of rows whose correct label is certified against rho features.

    At rho = 0 it is accuracy, where rows on which nothing is certified count as wrong.

    Args:
        rho: features that an attacker may change.

    Returns:
        A function of a fitted `SparseCertifiedClassifier`, or a `Pipeline` that ends in one, of
        rows and of their labels, for the `scoring` of `GridSearchCV` or `cross_val_score`.

    Raises:
        InputError: for a rho that is no integer of at least 0.
    """
    if as_integer(rho, "rho") < 0:
        raise InputError(f"expected rho of at least 0, got {rho}")
    return partial(_certified_accuracy, rho=rho)  # a closure could not be sent to other processes


def _certified_accuracy(estimator: Any, X: Any, y: ArrayLike, *, rho: int) -> float:  # noqa: N803
    if isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)  # noqa: N806
        estimator = estimator[-1]
    if not hasattr(estimator, "certify_rows"):
        raise InputError(
            "expected a SparseCertifiedClassifier, or a Pipeline that ends in one, "
            f"got {type(estimator).__name__}"
        )
    rows = estimator.certify_rows(X)
    return certified_accuracy(rows.radius, rows.label == np.asarray(y), rho)
