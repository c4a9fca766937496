"""Does a ballot depend on its own input alone? Asked of every base classifier before it is counted.

Certificates are about a function of one ballot. Networks that normalise or attend over the ballots
of a pass, or roll dice, look like any other from outside; so a few ballots are cast three times:
as they come; as they come once more; and with all but two replaced by copies of the first. All
passes have one shape, and therefore the same arithmetic: what stays in its place gets the same
logits to the last bit, whatever the precision, from every network of `models` in float32 and
bfloat16, and so do almost all copies. What is tolerated is far above rounding and below what
such networks do; less than that goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsecert.errors import InputError

NUM_BALLOTS = 8
_TOLERATED = 2.0**-7  # as a share of the largest logit


def check_ballots(cast: Callable[[Tensor, Tensor], Tensor], source: Tensor, mask: Tensor) -> None:
    """Try a base classifier on a few ballots.

    Args:
        cast: gives their `(ballots, ...)` logits.
        source: `(ballots, ...)` inputs.
        mask: `(ballots, units)` as the design draws it.

    Raises:
        InputError: where logits depend on chance, or on the other ballots of a pass.
    """
    # The second ballot stays too, where there are others to replace.
    order = torch.zeros(len(mask), dtype=torch.int64)
    order[1:2] = int(len(mask) > 2)
    stays = order == torch.arange(len(mask))

    def logits(rows: Tensor) -> Tensor:
        with torch.no_grad():
            given = cast(source[rows.to(source.device)], mask[rows.to(mask.device)])
        # A class may be ruled out by an infinite logit.
        return given.flatten(1).double().cpu().nan_to_num(posinf=0, neginf=0)

    first, again, other = (logits(rows) for rows in (torch.arange(len(mask)),) * 2 + (order,))
    scale = max(float(first.abs().max()), torch.finfo(torch.float32).tiny)

    def change(one: Tensor, two: Tensor) -> float:
        """That of most ballots, as a share of the largest logit."""
        return float((one - two).abs().amax(dim=1).median()) / scale

    if (found := change(first, again)) > _TOLERATED:
        raise InputError(
            f"the base classifier gave a ballot other logits the second time ({_words(found)}), so "
            "it is no function, and no certificate holds; take out what is random or remembers in "
            "evaluation mode: functional dropout needs training=self.training"
        )
    found = max(change(first[stays], other[stays]), change(other[:1], other[~stays]))
    if found > _TOLERATED:
        raise InputError(
            f"a ballot's logits depend on its place or on the other ballots of the pass "
            f"({_words(found)}), and no certificate holds; normalise by running statistics, or by "
            "group or layer norm, and attend over features, not over the batch (batch_first=True)"
        )


def _words(change: float) -> str:
    return f"by {change:.0%} of the largest logit"
