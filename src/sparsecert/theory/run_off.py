"""The run-off rule of fixed families: a final between the two classes of most first choices."""

from __future__ import annotations

import itertools

import numpy as np

from sparsecert.theory.ballots import Ballots, Outcome


def run_off(ballots: Ballots) -> Outcome:
    """The winner, head to head, of the two classes with most first choices.

    (The run-off of Hammoudeh and Lowd, 2024, here for any family.) c = g(x), and f is its opponent
    in the final: of the other classes the one with most first choices.

    Statement. If g(x') is not c, then at x' (1) some class j is ahead of every class but c by first
    choices, and ahead of c head to head; or (2) some two classes a and b are ahead of c by first
    choices. So an attacker is withstood who cannot do any of that:

    - (1) is ruled out if j != f cannot get ahead of f by first choices, or j cannot get ahead of
      c head to head.
    - (2) is ruled out if a, or b, cannot get ahead of c by first choices, or not both together
      (`Ballots.group_radius`).

    Proof. If c is in the final of x' and loses it, then to the class that is ahead of all others
    but c: (1). If c is not in the final, two classes are ahead of it: (2).  QED

    Where ballots abstain, first choices and the final both count only what the ballots say.

    Args:
        ballots: of a batch.
    """
    label, opponent = ballots.run_off_winner()
    margins = ballots.margins(label)
    rows = np.arange(len(label))
    # The final is lost against f as soon as f beats c, so only what may come sooner matters.
    beats = ballots.head_to_head_radius(margins, label, first=opponent)
    known = beats[rows, opponent][:, None]
    overtakes = ballots.first_choice_radius(opponent, np.where(beats < known, known, -1))
    overtakes[rows, opponent] = -1
    final = np.maximum(overtakes, beats)
    behind = ballots.first_choice_radius(label, final.min(axis=1, keepdims=True))
    least = final.min(axis=1, keepdims=True)
    pairs = np.array(list(itertools.combinations(range(ballots.num_classes), 2)))
    alone = np.maximum(behind[:, pairs[:, 0]], behind[:, pairs[:, 1]])
    # Where one of a pair stays behind for long enough, both together need not be looked at.
    together = ballots.group_radius(label, pairs, np.where(alone < least, least, -1))
    wins = (margins[rows, :, opponent] > 0).sum(axis=1)
    radius = np.concatenate([final, np.maximum(alone, together)], axis=1).min(axis=1)
    return Outcome(label, wins / ballots.num_ballots, radius)
