"""Table 6: ImageNet, by number of retained pixels."""

from __future__ import annotations

from sparsecert.reproduce.paper import PaperTable, certified_by_retained

# k: accuracy in percent, abstained in percent, median certified robustness
_PAPER: dict[int, tuple[float, float, int | None]] = {
    500: (52.75, 1.75, 0),
    1000: (61.00, 0.00, 16),
    2000: (62.50, 1.75, 11),
}

TABLE = PaperTable(
    "table6",
    "ImageNet with ResNet-50 by number of retained pixels",
    certified_by_retained("imagenet", _PAPER, "resnet50"),
    limit=400,
    notes="Of the validation images; the paper's are 400 as well, chosen by its authors.",
)
