"""Table 5: ResNet-50 as base classifier on ablated CIFAR-10, training and test images."""

from __future__ import annotations

from sparsecert.reproduce.paper import PaperTable, base_by_retained

# k: accuracy on ablated training images and on ablated test images, in percent
_PAPER = {
    25: (83.89, 57.58),
    50: (96.91, 69.45),
    75: (99.09, 75.22),
    100: (99.66, 79.54),
    125: (99.78, 81.83),
    150: (99.92, 84.43),
}

TABLE = PaperTable(
    "table5",
    "CIFAR-10, ResNet-50 on ablated images",
    base_by_retained("cifar10", _PAPER, "resnet50"),
)
