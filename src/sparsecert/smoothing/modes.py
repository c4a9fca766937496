"""Evaluation mode for as long as anybody votes, whichever thread it is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import nn

_LOCK = threading.Lock()
# By the identity of a module that somebody votes with: the mode it was in, and how many do. They
# hold on to it, so no other module can take its identity meanwhile.
_VOTING: dict[int, tuple[bool, int]] = {}


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and once nobody votes any more the mode that each part was in.

    Several threads may be inside at once, and networks may share parts: a part that one thread
    leaves stays in evaluation mode while another is inside.

    Args:
        network: what votes.
    """
    parts = list(network.modules())
    with _LOCK:
        for part in parts:
            mode, voting = _VOTING.get(id(part), (part.training, 0))
            _VOTING[id(part)] = mode, voting + 1
    try:
        network.eval()
        yield
    finally:
        with _LOCK:
            for part in parts:
                mode, voting = _VOTING.pop(id(part))
                if voting > 1:
                    _VOTING[id(part)] = mode, voting - 1
                else:
                    part.training = mode
