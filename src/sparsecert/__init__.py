"""Provable robustness of classifiers against sparse (L0) attacks, by randomized ablation.

    import sparsecert as sc

    smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(784, 45), num_classes=10)
    certificate = smoothed.certify(images)     # .label, .radius, .lower_bound, .tally

Certificates from stored counts (`certify_tally`, `predict_tally`, `certify_ballots`) need no torch,
and importing this package does not import it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sparsecert._version import __version__
from sparsecert.certification import (
    Certification,
    Prediction,
    certify_ballots,
    certify_tally,
    predict_tally,
)
from sparsecert.designs.bands import (
    column_bands,
    contiguous_windows,
    row_bands,
    square_blocks,
)
from sparsecert.designs.family import (
    FixedAblation,
    random_partitions,
    stratified_partitions,
    strided_partition,
)
from sparsecert.designs.inversive import inversive_circles
from sparsecert.designs.uniform import UniformAblation
from sparsecert.designs.units import patch_units, protect
from sparsecert.errors import (
    InputError,
    LargeAlphaWarning,
    RunFolderError,
    SlowPrecisionWarning,
    TooFewSamplesWarning,
    TooFewSetsWarning,
)
from sparsecert.evaluation import (
    certified_accuracy,
    certified_robustness,
    evaluate,
    median_certified_robustness,
)
from sparsecert.rules import smallest_num_samples
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples
from sparsecert.theory import ablation_shift
from sparsecert.theory.prediction import ABSTAIN
from sparsecert.votes.tally import Tally

if TYPE_CHECKING:
    from sparsecert.estimator.classifier import RowCertificates, SparseCertifiedClassifier
    from sparsecert.estimator.scoring import certified_accuracy_scorer
    from sparsecert.models.architectures import SubsetEnsemble
    from sparsecert.procedures.run import inputs_for, load
    from sparsecert.report.figures import plot_certified_accuracy
    from sparsecert.smoothing.encoding import MeanEncoding, TwoChannelEncoding
    from sparsecert.smoothing.family import FixedSmoothedClassifier
    from sparsecert.smoothing.inputs import Ablate, ablate
    from sparsecert.smoothing.sampled import SmoothedClassifier

__all__ = [
    "ABSTAIN",
    "Ablate",
    "Certification",
    "FixedAblation",
    "FixedSmoothedClassifier",
    "InputError",
    "LargeAlphaWarning",
    "MeanEncoding",
    "Prediction",
    "RowCertificates",
    "RunFolderError",
    "SlowPrecisionWarning",
    "SmoothedClassifier",
    "SparseCertifiedClassifier",
    "Stage",
    "SubsetEnsemble",
    "Tally",
    "TooFewSamplesWarning",
    "TooFewSetsWarning",
    "TwoChannelEncoding",
    "UniformAblation",
    "__version__",
    "ablate",
    "ablation_shift",
    "certified_accuracy",
    "certified_accuracy_scorer",
    "certified_robustness",
    "certify_ballots",
    "certify_tally",
    "column_bands",
    "contiguous_windows",
    "evaluate",
    "inputs_for",
    "inversive_circles",
    "load",
    "median_certified_robustness",
    "patch_units",
    "plot_certified_accuracy",
    "predict_tally",
    "protect",
    "random_partitions",
    "row_bands",
    "samples",
    "smallest_num_samples",
    "square_blocks",
    "stratified_partitions",
    "strided_partition",
]

# What needs torch, scikit-learn or matplotlib, which take long to import.
_IMPORTED_WHEN_USED = {
    "Ablate": "sparsecert.smoothing.inputs",
    "FixedSmoothedClassifier": "sparsecert.smoothing.family",
    "MeanEncoding": "sparsecert.smoothing.encoding",
    "RowCertificates": "sparsecert.estimator.classifier",
    "SmoothedClassifier": "sparsecert.smoothing.sampled",
    "SparseCertifiedClassifier": "sparsecert.estimator.classifier",
    "SubsetEnsemble": "sparsecert.models.architectures",
    "TwoChannelEncoding": "sparsecert.smoothing.encoding",
    "ablate": "sparsecert.smoothing.inputs",
    "certified_accuracy_scorer": "sparsecert.estimator.scoring",
    "inputs_for": "sparsecert.procedures.run",
    "load": "sparsecert.procedures.run",
    "plot_certified_accuracy": "sparsecert.report.figures",
}


def __getattr__(name: str) -> object:
    if name in _IMPORTED_WHEN_USED:
        return getattr(importlib.import_module(_IMPORTED_WHEN_USED[name]), name)
    raise AttributeError(f"module 'sparsecert' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
