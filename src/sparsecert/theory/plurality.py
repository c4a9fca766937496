"""The plurality rule of fixed families: the class of most first choices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.ballots import Ballots, Outcome


def plurality(scores: NDArray[np.floating], columns: NDArray[np.bool_]) -> Outcome:
    """The class of most first choices.

    Statement. g(x') = c for all x' within rho units of x if for every j != c no rho units touch
    ballots of more weight against j than the budget n_c - n_j - [j < c].

    Proof. The budget bears what touching can cost, so c stays ahead of every j.  QED  For one
    partition the sum bound gives the certificate of Hammoudeh and Lowd (2024), the largest rho with
    2 rho <= n_c - n_j - [j < c] for every j: c has at least rho ballots, each worth 2.

    Args:
        scores: `(batch, ballots, classes)`.
        columns: `(ballots, columns)` which sets each unit is in, different units only.
    """
    ballots = Ballots(scores, columns)
    label = ballots.first_counts.argmax(axis=1)
    share = ballots.first_counts.max(axis=1) / ballots.num_ballots
    return Outcome(label, share, ballots.first_choice_radius(label).min(axis=1))
