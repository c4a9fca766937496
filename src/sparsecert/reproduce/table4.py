"""Table 4: ResNet-18 as base classifier on ablated CIFAR-10, training and test images."""

from __future__ import annotations

from sparsecert.reproduce.paper import PaperTable, base_by_retained

# k: accuracy on ablated training images and on ablated test images, in percent
_PAPER = {
    25: (83.16, 57.72),
    50: (96.63, 68.29),
    75: (99.33, 74.08),
    100: (99.76, 77.88),
    125: (99.91, 80.48),
    150: (99.95, 83.16),
}

TABLE = PaperTable(
    "table4",
    "CIFAR-10, ResNet-18 on ablated images",
    base_by_retained("cifar10", _PAPER, "resnet18"),
)
