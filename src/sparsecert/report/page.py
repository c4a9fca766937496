"""The report: one self-contained HTML page, no server and no other file."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsecert import files
from sparsecert.data import Dataset
from sparsecert.evaluation import certified_robustness
from sparsecert.procedures.procedure import Measurement
from sparsecert.procedures.run import load, recorded_images, recorded_procedure
from sparsecert.records.record import read_record
from sparsecert.report import figures, tables
from sparsecert.report.attacks import attack_section
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.log import read_log
from sparsecert.streams import Stage, stream
from sparsecert.theory.shift import majority_thresholds

_GALLERY_SIZE = 8
_ABLATED_SAMPLES = 4


@dataclass(frozen=True)
class _Ballot:
    """One ablated sample of the gallery and the base classifier's answer."""

    image: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    answer: str
    correct: bool


@dataclass(frozen=True)
class _Exhibit:
    """One test image of the gallery."""

    index: int
    image: NDArray[np.float32]
    target: str
    ballots: list[_Ballot]
    votes: list[tuple[str, float]]
    prediction: str
    certified: str


def write_report(run: RunFolder, beside: Sequence[tuple[str, ...]] = ()) -> Path:
    """Write the page of the run's latest record; returns its path.

    Everything but the gallery's few ablated samples comes from stored tallies.

    Args:
        run: a certified run.
        beside: a table that sets the record beside the paper, its heads first; none by default.

    Raises:
        RunFolderError: if the run has not been certified, or the page cannot be written.
    """
    config, record = run.config, read_record(run)
    images = recorded_images(run, record)
    dataset, procedure = images.dataset, recorded_procedure(config.design, record)
    measurements = {
        rule: replace(procedure, rule=rule).measure(images)
        for rule in procedure.rules_of_votes(images)
    }
    # By its own rule, if the votes do not suffice for it, that says so.
    chosen = measurements.get(record["rule"]) or procedure.measure(images)
    unit = config.design.unit(config.input_shape)
    page = _TEMPLATE.render(
        title=f"{record['dataset']}, {config.design} {unit}",
        record=record,
        unit=unit,
        summaries={
            rule: tables.summary_rows(measurement, unit, procedure.sampling)
            for rule, measurement in measurements.items()
        },
        certified=tables.certified_rows(chosen.evaluation),
        curve=figures.certified_accuracy_curve(
            {rule: measurement.evaluation for rule, measurement in measurements.items()}, unit
        ),
        limits=_limits(record, unit),
        training=_training(run),
        gallery=_gallery(run, dataset, chosen, unit),
        retains=config.design.retains,
        attacks=attack_section(run, dataset, unit),
        beside=beside,
        config=json.dumps(config.to_json(), indent=2),
    )
    files.make_folder(run.report_path.parent)
    files.write_text(run.report_path, page)
    return run.report_path


def _limits(record: Mapping[str, Any], unit: str) -> tuple[Figure, int] | None:
    """Delta against rho, and the largest radius there can be, where every k-subset is drawn."""
    if "num_retained" not in record:
        return None
    d, k = record["num_features"], record["num_retained"]
    others = sorted({max(1, k // 2), min(d, 2 * k)} - {k})
    ceiling = len(majority_thresholds(d, k)) - 1
    return figures.shift_against_rho(d, [k, *others], 2 * (ceiling + 1), unit), ceiling


def _training(run: RunFolder) -> Figure | None:
    if not (epochs := read_log(run.log_path)):
        return None
    return figures.training_curve(
        [line.epoch for line in epochs], [line.ablated_accuracy for line in epochs]
    )


def _gallery(
    run: RunFolder, dataset: Dataset, measurement: Measurement, unit: str
) -> list[_Exhibit]:
    """Images from the most robust to the misclassified, evenly spread over that order."""
    smoothed, config = load(run.path), run.config
    names, certification = config.class_names, measurement.certification
    robustness = certified_robustness(
        certification.radius, certification.label == measurement.targets
    )
    order = np.argsort(-robustness, kind="stable")
    exhibits = []
    for row in order[np.linspace(0, len(order) - 1, min(_GALLERY_SIZE, len(order)), dtype=int)]:
        index, target = int(measurement.indices[row]), int(measurement.targets[row])
        x = dataset.batch([index])
        drawn, answers = smoothed.few_ballots(
            x, _ABLATED_SAMPLES, stream(0, Stage.ILLUSTRATION, index)
        )
        shown = [(x[0].numpy(), mask) for mask in drawn]
        if not config.design.retains:  # what was drawn is no mask but noise
            noisy = smoothed.encoding(x, torch.from_numpy(drawn))
            shown = [(image.numpy(), None) for image in noisy]
        votes = certification.tally.votes[row]
        predicted = int(measurement.prediction.label[row])
        radius, label = int(certification.radius[row]), names[certification.label[row]]
        exhibits.append(
            _Exhibit(
                index=index,
                image=x[0].numpy(),
                target=names[target],
                ballots=[
                    _Ballot(*sample, names[answer], int(answer) == target)
                    for sample, answer in zip(shown, answers, strict=True)
                ],
                votes=[
                    (names[c], float(votes[c] / votes.sum()))
                    for c in np.argsort(-votes, kind="stable")[:3]
                ],
                prediction="abstains" if predicted < 0 else names[predicted],
                certified=f"{label}, up to {radius} {unit}" if radius >= 0 else "nothing",
            )
        )
    return exhibits


def _picture(image: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> Markup:
    """An inline PNG; nothing for feature vectors."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        return Markup()
    buffer = io.BytesIO()
    figures.picture(image, mask).savefig(buffer, format="png", dpi=96)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(f'<img alt="" src="data:image/png;base64,{data}">')


def _svg(figure: Figure) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("sparsecert.report", "."), autoescape=True, trim_blocks=True
)
_ENVIRONMENT.filters |= {"picture": _picture, "svg": _svg}
_TEMPLATE = _ENVIRONMENT.get_template("page.html")
