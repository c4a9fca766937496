"""How few features an attacker of a fixed family needs: the exact bound, by integer programming."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

# HiGHS satisfies constraints and optimality up to about 1e-6. The optimum is an integer, so a dual
# bound that is this much too high does no harm.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Attack:
    """What an attacker has to reach with the ballots that he touches.

    Attributes:
        gains: `(requirements, moves, num_sets)` integers: what ballot t gives to a requirement if
            it is touched and changed by a move. A touched ballot is changed by one move, or by
            none. With a single move no gain may be negative.
        needs: `(requirements,)` integers: the sum of gains that each requirement asks for.
    """

    gains: NDArray[np.int64]
    needs: NDArray[np.int64]

    def succeeds(self, changed: NDArray[np.int64]) -> bool:
        """Whether these `(moves, num_sets)` changes meet every requirement."""
        reached = np.einsum("rmt,mt->r", self.gains, changed)
        return bool((reached >= self.needs).all())


def fewest_features(attack: Attack, columns: NDArray[np.bool_], time_limit: float) -> int | None:
    """A number of features below which the attack cannot succeed: the fewest, if time allows.

    The program, over features y_i and changes z_mt in {0, 1}:

        minimise the sum of y_i, subject to
        the sum over m of z_mt <= the sum of y_i over i in T_t, and <= 1, for every ballot t,
        the sum over m and t of gains_rmt z_mt >= needs_r, for every requirement r.

    An attack that succeeds is a solution of it, so its optimum, and any lower bound on that, is a
    number of features that every attack needs. HiGHS gives such a bound even when it runs out of
    time. The bound is lowered by the solver's tolerance before it is rounded up to an integer, and
    solutions of the solver's are checked in integers: a bound above one is not believed.

    Args:
        attack: what has to be reached.
        columns: `(num_sets, columns)` which sets each feature is in.
        time_limit: seconds.

    Returns:
        The number; 0 where nothing was proven; None where all features together cannot succeed.
    """
    _, moves, num_sets = attack.gains.shape
    if (attack.needs <= 0).all():
        return 0
    if (np.maximum(attack.gains, 0).max(axis=1).sum(axis=1) < attack.needs).any():
        return None
    num_columns = columns.shape[1]
    touched = sparse.hstack(
        [-sparse.csr_array(columns.astype(np.float64))] + [sparse.eye_array(num_sets)] * moves
    )
    reached = sparse.hstack(
        [sparse.csr_array((len(attack.needs), num_columns)), *attack.gains.swapaxes(0, 1)]
    )
    once = sparse.hstack(
        [sparse.csr_array((num_sets, num_columns))] + [sparse.eye_array(num_sets)] * moves
    )
    cost = np.concatenate([np.ones(num_columns), np.zeros(moves * num_sets)])
    solved = optimize.milp(
        cost,
        # With one move every z is as large as it may be, and need not be asked to be an integer.
        integrality=np.where(cost == 1, 1, moves > 1),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(touched, ub=0),
            optimize.LinearConstraint(once, ub=1),
            optimize.LinearConstraint(reached, lb=attack.needs),
        ],
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    bound = solved.mip_dual_bound
    fewest = 0 if bound is None or not math.isfinite(bound) else math.ceil(bound - _TOLERANCE)
    if solved.x is not None:
        features = np.flatnonzero(solved.x[:num_columns] > 0.5)
        changed = np.rint(solved.x[num_columns:]).astype(np.int64).reshape(moves, num_sets)
        if moves == 1:
            changed[:] = 1
        changed *= columns[:, features].any(axis=1)
        if attack.succeeds(changed):
            fewest = min(fewest, len(features))
    return max(fewest, 0)
