"""Table 3: CIFAR-10 with ResNet-18, by the number of retained pixels."""

from __future__ import annotations

from sparsecert.reproduce.paper import PaperTable, certified_by_retained

# k: accuracy in percent, abstained in percent, median certified robustness
_PAPER: dict[int, tuple[float, float, int | None]] = {
    25: (68.41, 1.76, 6),
    50: (74.21, 1.19, 7),
    75: (78.25, 0.93, 7),
    100: (80.91, 0.86, 6),
    125: (83.25, 0.60, 5),
    150: (85.22, 0.53, 4),
}

TABLE = PaperTable(
    "table3",
    "CIFAR-10 with ResNet-18 by number of retained pixels",
    certified_by_retained("cifar10", _PAPER, "resnet18"),
)
