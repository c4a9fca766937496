"""Per-image results as tab-separated text.

The first columns are those of Cohen, Rosenfeld and Kolter's scripts, `idx label predict radius
correct time`, with -1 for an abstention; ours follow.
"""

from __future__ import annotations

import csv
import datetime
import io
from pathlib import Path

import numpy as np

from sparsecert.procedures.procedure import Measurement
from sparsecert.records.output import write_output
from sparsecert.theory.prediction import ABSTAIN

_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
_OWN_COLUMNS = ("selected", "prediction", "lower_bound", "votes")


def write_tsv(path: Path, measurement: Measurement) -> None:
    """Write one line per image; see `write_output`.

    `predict` is the certified class, -1 where not even radius 0 is certified; `radius` is in
    features. `selected` is the class that was put to the test, `prediction` PREDICT's answer,
    `lower_bound` the certificate's, `votes` the first choices by class.
    """
    certification = measurement.certification
    predict = np.where(certification.radius < 0, ABSTAIN, certification.label)
    rows = zip(
        measurement.indices,
        measurement.targets,
        predict,
        certification.radius,
        (predict == measurement.targets).astype(int),
        [datetime.timedelta(seconds=float(s)) for s in measurement.seconds],
        certification.label,
        measurement.prediction.label,
        certification.lower_bound,
        [" ".join(map(str, votes)) for votes in certification.tally.votes],
        strict=True,
    )
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(_COLUMNS + _OWN_COLUMNS)
    writer.writerows(rows)
    write_output(path, text.getvalue())
