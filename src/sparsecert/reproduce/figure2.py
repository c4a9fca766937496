"""Figure 2: how the bound Delta grows with rho, for several k, on MNIST."""

from __future__ import annotations

from matplotlib.figure import Figure

from sparsecert.report.figures import shift_against_rho
from sparsecert.reproduce.experiment import Options

RETAINED = (45, 5, 15, 25, 75, 100)
NUM_FEATURES = 784
MAX_RHO = 60


def draw(options: Options) -> Figure:
    """Nothing is trained: Delta is combinatorial."""
    return shift_against_rho(NUM_FEATURES, options.retained or RETAINED, MAX_RHO, "pixels")
