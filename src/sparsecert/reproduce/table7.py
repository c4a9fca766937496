"""Table 7: MNIST, ablation against the noise of Lee et al. (2019)."""

from __future__ import annotations

from typing import Any

from sparsecert.reproduce.paper import CertifiedRow, PaperTable

_PROCEDURE: dict[str, Any] = {"num_selection": 100, "num_samples": 100_000, "alpha": 0.001}
# One network for both schemes, since the comparison is between the schemes.
_COMMON: dict[str, Any] = {
    "dataset": "mnist",
    "architecture": "paper-cnn",
    "architecture_matters": False,
    **_PROCEDURE,
}

TABLE = PaperTable(
    "table7",
    "MNIST, ablation against the noise of Lee et al. (2019)",
    (
        CertifiedRow(
            label="Lee et al., kappa = 0.8, black and white",
            settings={"keep_probability": 0.8, "num_values": 2},
            design="lee2019",
            encoding="none",
            median=4,
            **_COMMON,
        ),
        CertifiedRow(label="ablation, k = 45", settings={"num_retained": 45}, median=8, **_COMMON),
    ),
    notes="Both schemes use the paper's CNN, unless a row names another network, and the same "
    "recipe; under `paper` that is one draw of the ablation or noise per minibatch. The ImageNet "
    "half of the table needs the full data set and is left out.",
)
