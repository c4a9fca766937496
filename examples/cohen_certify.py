"""For scripts written for Cohen et al.'s `Smooth`: the same call, the same table, pixels as radii.

    python examples/cohen_certify.py

Their `certify(x, n0, n, alpha, batch_size)` gives a class, or -1 for an abstention, and a radius in
L2; this one gives the radius in pixels. The table is theirs: idx, label, predict, radius, correct,
time.
"""

from __future__ import annotations

import datetime
import sys
from time import perf_counter
from typing import TextIO

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sparsecert as sc


class Smooth:
    """A smoothed classifier with the interface of Cohen et al. (2019).

    Attributes:
        base: the base classifier, trained on ablated inputs.
        ablation: which pixels it was shown.
        num_classes: its outputs.
    """

    ABSTAIN = sc.ABSTAIN

    def __init__(self, base: nn.Module, num_classes: int, ablation: sc.UniformAblation) -> None:
        self.base, self.num_classes, self.ablation = base, num_classes, ablation

    def certify(
        self, x: Tensor, n0: int, n: int, alpha: float, batch_size: int
    ) -> tuple[int, float]:
        """The class of `(channels, height, width)` x and its radius, or `ABSTAIN` and 0."""
        found = self._smoothed(batch_size).certify(x[None], n0, n, alpha)
        if found.radius[0] < 0:
            return self.ABSTAIN, 0.0
        return int(found.label[0]), float(found.radius[0])

    def predict(self, x: Tensor, n: int, alpha: float, batch_size: int) -> int:
        """The class of x, or `ABSTAIN`."""
        return int(self._smoothed(batch_size).predict(x[None], n, alpha).label[0])

    def _smoothed(self, batch_size: int) -> sc.SmoothedClassifier:
        return sc.SmoothedClassifier(
            self.base, self.ablation, self.num_classes, ballots_per_pass=batch_size
        )


def certify_all(smooth: Smooth, images: Tensor, labels: list[int], file: TextIO) -> None:
    """Write a line for each image, as their `certify.py` does."""
    print("idx\tlabel\tpredict\tradius\tcorrect\ttime", file=file, flush=True)
    for index, (x, label) in enumerate(zip(images, labels, strict=True)):
        before = perf_counter()
        predicted, radius = smooth.certify(x, n0=100, n=2_000, alpha=0.001, batch_size=500)
        time = datetime.timedelta(seconds=perf_counter() - before)
        correct = int(predicted == label)
        line = f"{index}\t{label}\t{predicted}\t{radius:.3}\t{correct}\t{time}"
        print(line, file=file, flush=True)


def main() -> None:
    """Train a small network on ablated digits and certify ten."""
    torch.manual_seed(0)
    pixels, classes = load_digits(return_X_y=True)
    images, labels = torch.from_numpy(pixels / 16).float().view(-1, 1, 8, 8), torch.tensor(classes)
    ablation = sc.UniformAblation(num_features=64, num_retained=12)
    base = nn.Sequential(nn.Flatten(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(base.parameters(), lr=3e-3)
    for _ in range(500):
        rows = torch.randint(1_700, (128,))
        loss = nn.functional.cross_entropy(base(sc.ablate(images[rows], ablation)), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    certify_all(Smooth(base, 10, ablation), images[-10:], labels[-10:].tolist(), sys.stdout)


if __name__ == "__main__":
    main()
