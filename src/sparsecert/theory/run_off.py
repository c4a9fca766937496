"""The run-off rule of fixed families: a final between the two classes of most first choices."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.ballots import Ballots, Outcome


def run_off(scores: NDArray[np.floating], columns: NDArray[np.bool_]) -> Outcome:
    """The winner, head to head, of the two classes with most first choices.

    (The run-off of Hammoudeh and Lowd, 2024, here for any family.) c = g(x), and f is its opponent
    in the final: of the other classes the one with most first choices.

    Statement. If g(x') is not c, then at x' (1) some class j is ahead of every class but c by first
    choices, and ahead of c head to head; or (2) some two classes a and b are ahead of c by first
    choices. So rho is certified if it is too small for every such threat:

    - (1) is ruled out if j != f cannot get ahead of f by first choices, or j cannot get ahead of
      c head to head.
    - (2) is ruled out if a, or b, cannot get ahead of c by first choices, or if no rho units
      touch ballots of more weight than the sum of both budgets and 1, where a ballot for c
      weighs 3, one for a or b nothing, and any other 1.

    Proof. If c is in the final of x' and loses it, then to the class that is ahead of all others
    but c: (1). If c is not in the final, two classes are ahead of it: (2). A change of one
    ballot takes at most 3 from the budgets against a and b together: a ballot for c that becomes
    one for a takes 2 and 1, any other takes 1 from one of them if it was for neither, and if it
    was for a gives the one budget what it takes from the other. To get both ahead takes both
    budgets and 1 more for each.  QED

    Args:
        scores: `(batch, ballots, classes)`.
        columns: `(ballots, columns)` which sets each unit is in, different units only.
    """
    ballots = Ballots(scores, columns)
    label, opponent = ballots.run_off_winner()
    above = ballots.above(label)
    rows = np.arange(len(label))
    # The final is lost against f as soon as f beats c, so only what may come sooner matters.
    beats = ballots.head_to_head_radius(above, label, first=opponent)
    known = beats[rows, opponent][:, None]
    overtakes = ballots.first_choice_radius(opponent, np.where(beats < known, known, -1))
    overtakes[rows, opponent] = -1
    final = np.maximum(overtakes, beats)
    behind = ballots.first_choice_radius(label, final.min(axis=1, keepdims=True))
    pairs = list(itertools.combinations(range(ballots.num_classes), 2))
    pair = ballots.pair_radius(label, behind, final, pairs)
    wins = above[rows, :, opponent].sum(axis=1)
    radius = np.concatenate([final, pair], axis=1).min(axis=1)
    return Outcome(label, wins / ballots.num_ballots, radius)
