"""What following a few of 1 000 classes costs: room per image, and time per ballot.

    python benchmarks/shortlist.py

The base classifier is a random linear network on 16 features, so nearly all the time that is shown
is what counting rankings takes on one core; a real network's forward pass comes on top.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.smoothing.sequential import tally_looks
from sparsecert.smoothing.shortlist import shortlist
from sparsecert.theory.schedule import growing_looks
from sparsecert.votes.look_store import LookSettings, LookStore
from sparsecert.votes.store import Stored
from sparsecert.votes.tally import Tally
from sparsecert.votes.tally_store import TallySettings, TallyStore
from sparsecert.votes.tracked_classes import nobody

CLASSES, IMAGES, BALLOTS = 1_000, 20, 10_000

torch.manual_seed(0)
torch.set_num_threads(1)
base = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, CLASSES))
smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(16, 2), CLASSES)
x = torch.rand(IMAGES, 1, 4, 4)
rows, ones = np.arange(IMAGES), np.ones(IMAGES)


def timed(name: str, followed: NDArray[np.int64] | None) -> Tally:
    """Count, and say how long a ballot took, in seconds of the processor."""
    started = time.process_time()
    tally = smoothed.tally(x, BALLOTS, sc.Stage.ESTIMATION, followed=followed)
    each = (time.process_time() - started) / (IMAGES * BALLOTS)
    print(f"{name}: {1e6 * each:.1f} microseconds per ballot")
    return tally


def size(folder: Path) -> str:
    """Kilobytes per image of the one part in this folder."""
    (part,) = folder.iterdir()
    return f"{part.stat().st_size / IMAGES / 1_000:.1f} kB per image"


def main() -> None:
    """Print times and sizes."""
    timed("first choices only", track_nothing(IMAGES))
    followed = shortlist(smoothed, x)
    assert followed is not None
    tally = timed(f"{followed.shape[1]} followed", followed)
    looks = tally_looks(smoothed, x, BALLOTS, sc.Stage.ESTIMATION, followed=followed)
    schedule = tuple(map(int, look_schedule(BALLOTS)))
    with tempfile.TemporaryDirectory() as folder:
        fixed, sequential = Path(folder) / "fixed", Path(folder) / "sequential"
        settings = TallySettings("model", "data", 0, "estimation", BALLOTS)
        TallyStore(fixed, CLASSES).append(settings, [Stored(rows, ones, tally)])
        names = LookSettings("model", "data", 0, "estimation", BALLOTS, schedule)
        LookStore(sequential, CLASSES).append(names, [Stored(rows, ones, looks)])
        print(f"a stage on disk: {size(fixed)}")
        print(f"all {len(schedule)} looks on disk: {size(sequential)}")


if __name__ == "__main__":
    main()
