"""Table 8: two ways to show NULL to the base classifier."""

from __future__ import annotations

from sparsecert.reproduce.paper import CertifiedRow, PaperTable

# data set, k, network, encoding: accuracy in percent, abstained in percent, median
_PAPER = {
    ("mnist", 45, "paper-cnn", "two-channel"): (96.72, 0.45, 8),
    ("mnist", 45, "paper-cnn", "mean"): (96.27, 0.43, 7),
    ("cifar10", 75, "resnet18", "two-channel"): (78.25, 0.93, 7),
    ("cifar10", 75, "resnet18", "mean"): (77.71, 1.05, 7),
}

TABLE = PaperTable(
    "table8",
    "Encodings of NULL",
    tuple(
        CertifiedRow(
            label=f"{dataset}, k = {k}, {encoding}",
            dataset=dataset,
            settings={"num_retained": k},
            architecture=architecture,
            encoding=encoding,
            accuracy=accuracy,
            abstained=abstained,
            median=median,
        )
        for (dataset, k, architecture, encoding), (accuracy, abstained, median) in _PAPER.items()
    ),
    notes="Both encodings go through the same network, with the same recipe and seed.",
)
