"""What tracking a few of 1 000 classes costs: room per image, and time per ballot.

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
from sparsecert.theory.schedule import growing_looks
from sparsecert.votes.store import Stored, TallySettings, TallyStore
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import track_nothing

CLASSES, IMAGES, BALLOTS = 1_000, 20, 10_000

torch.manual_seed(0)
torch.set_num_threads(1)
base = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, CLASSES))
smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(16, 2), CLASSES)
x = torch.rand(IMAGES, 1, 4, 4)
rows, ones = np.arange(IMAGES), np.ones(IMAGES)


def timed(name: str, tracked: NDArray[np.int64]) -> Tally:
    """Count, and say how long a ballot took, in seconds of the processor."""
    started = time.process_time()
    tally = smoothed.tally(x, BALLOTS, sc.Stage.ESTIMATION, tracked=tracked)
    each = (time.process_time() - started) / (IMAGES * BALLOTS)
    print(f"{name}: {1e6 * each:.1f} microseconds per ballot")
    return tally


def size(folder: Path, tally: Tally) -> str:
    """Kilobytes per image of these votes on disk."""
    settings = TallySettings("model", "data", 0, "estimation", BALLOTS, tally.looks)
    TallyStore(folder, CLASSES).append(settings, [Stored(rows, ones, tally)])
    (part,) = folder.iterdir()
    return f"{part.stat().st_size / IMAGES / 1_000:.1f} kB per image"


def main() -> None:
    """Print times and sizes."""
    timed("first choices only", track_nothing(IMAGES))
    tracked = smoothed.tally(x, 1, sc.Stage.ESTIMATION).tracked_classes
    assert tracked is not None
    tally = timed(f"{tracked.shape[1]} tracked", tracked)
    looks = smoothed.tally(x, BALLOTS, sc.Stage.ESTIMATION, sampling="sequential", tracked=tracked)
    with tempfile.TemporaryDirectory() as folder:
        print(f"a stage on disk: {size(Path(folder) / 'fixed', tally)}")
        size_of_looks = size(Path(folder) / "sequential", looks)
        print(f"all {len(growing_looks(BALLOTS))} looks on disk: {size_of_looks}")


if __name__ == "__main__":
    main()
