"""The report: one self-contained HTML page, no server and no other file."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from sparsecert import files
from sparsecert.data import Dataset, evenly_spread
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.designs.uniform import UniformAblation
from sparsecert.evaluation import certified_robustness
from sparsecert.procedures.procedure import Measurement
from sparsecert.procedures.run import (
    load,
    recorded_procedure,
    run_images,
)
from sparsecert.records.record import read_record
from sparsecert.report import figures, tables
from sparsecert.report.attacks import AttackSection, FoolingImage, attack_section
from sparsecert.reproduce.overview import matching_rows
from sparsecert.reproduce.paper import CertifiedRow
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage, stream

_GALLERY_SIZE = 8
_ABLATED_SAMPLES = 4


@dataclass(frozen=True)
class _Ballot:
    """One ablated sample of the gallery and the base classifier's answer."""

    picture: Markup | None
    answer: str
    correct: bool


@dataclass(frozen=True)
class _Exhibit:
    """One test image of the gallery."""

    index: int
    picture: Markup | None
    target: str
    ballots: list[_Ballot]
    votes: list[tuple[str, float]]
    prediction: str
    certified: str


def write_report(run: RunFolder) -> Path:
    """Write the page of the run's latest record; returns its path.

    Everything but the gallery's few ablated samples comes from stored tallies.

    Raises:
        RunFolderError: if the run has not been certified, or the page cannot be written.
    """
    config, record = run.config, read_record(run)
    images = run_images(run, record["dataset"], record["limit"])
    dataset = images.dataset
    procedure: Any = recorded_procedure(config.design, record)
    measurements = {
        rule: replace(procedure, rule=rule).measure(images)
        for rule in procedure.rules_of_votes(images)
    }
    chosen = measurements[record["rule"]]
    design = config.design
    unit = design.unit(config.input_shape)
    page = _TEMPLATE.render(
        title=f"{record['dataset']}, {design} {unit}",
        record=record,
        unit=unit,
        summaries={
            rule: tables.summary_rows(measurement, unit, procedure.sampling)
            for rule, measurement in measurements.items()
        },
        certified=tables.certified_rows(chosen.evaluation),
        curve=_svg(
            figures.certified_accuracy_curve(
                {rule: measurement.evaluation for rule, measurement in measurements.items()}, unit
            )
        ),
        limits=_limits(design, unit) if isinstance(design, UniformAblation) else None,
        training=_training(run),
        gallery=_gallery(load(run.path), dataset, chosen, config.class_names, unit),
        retains=not isinstance(design, DiscreteNoise),
        attacks=_attacks(attack_section(run, dataset, unit)),
        columns=CertifiedRow.COLUMNS[1:],
        paper=[
            (table.name.replace("table", "Table "), row.label, row.paper_cells()[1:])
            for table, row in matching_rows(record)
        ],
        here=CertifiedRow.record_cells(record)[1:],
        config=json.dumps(config.to_json(), indent=2),
    )
    files.make_folder(run.report_path.parent)
    files.write_text(run.report_path, page)
    return run.report_path


def _limits(ablation: UniformAblation, unit: str) -> tuple[Markup, int]:
    """The figure of Delta against rho, and the largest radius there can be."""
    d, k = ablation.num_features, ablation.num_retained
    others = sorted({max(1, k // 2), min(d, 2 * k)} - {k})
    ceiling = len(ablation.share_thresholds()) - 1
    figure = figures.shift_against_rho(d, [k, *others], 2 * (ceiling + 1), unit)
    return _svg(figure), ceiling


def _attacks(section: AttackSection | None) -> dict[str, Any] | None:
    """The part on attacks, with its pictures as the page holds them."""
    if section is None:
        return None

    def pictures(shown: FoolingImage) -> tuple[Markup | None, Markup | None]:
        return _picture(shown.original), _picture(shown.adversarial)

    return {
        "columns": section.columns,
        "rows": section.rows,
        "alarms": section.alarms,
        "plot": None if section.plot is None else _svg(section.plot),
        "gallery": [(shown, *pictures(shown)) for shown in section.gallery],
    }


def _training(run: RunFolder) -> Markup | None:
    if not run.log_path.exists():
        return None
    lines = [json.loads(line) for line in run.log_path.read_text(encoding="utf-8").splitlines()]
    return _svg(
        figures.training_curve(
            [line["epoch"] for line in lines], [line["ablated_accuracy"] for line in lines]
        )
    )


def _gallery(
    smoothed: SmoothedClassifier | FixedSmoothedClassifier,
    dataset: Dataset,
    measurement: Measurement,
    class_names: tuple[str, ...],
    unit: str,
) -> list[_Exhibit]:
    """Images from the most robust to the misclassified, evenly spread over that order."""
    certification = measurement.certification
    robustness = certified_robustness(
        certification.radius, certification.label == measurement.targets
    )
    order = np.argsort(-robustness, kind="stable")
    return [
        _exhibit(smoothed, dataset, measurement, int(row), class_names, unit)
        for row in order[np.linspace(0, len(order) - 1, min(_GALLERY_SIZE, len(order)), dtype=int)]
    ]


def _exhibit(
    smoothed: SmoothedClassifier | FixedSmoothedClassifier,
    dataset: Dataset,
    measurement: Measurement,
    row: int,
    class_names: tuple[str, ...],
    unit: str,
) -> _Exhibit:
    index = int(measurement.indices[row])
    target = int(measurement.targets[row])
    x = dataset.batch([index])
    masks, answers = _few_ballots(smoothed, x, index)
    image = x[0].numpy()
    if masks.dtype == np.bool_:
        samples = [_picture(image, mask) for mask in masks]
    else:
        samples = [
            _picture(noisy.numpy()) for noisy in smoothed.encoding(x, torch.from_numpy(masks))
        ]
    votes = measurement.certification.tally.votes[row]
    ranked = np.argsort(-votes, kind="stable")[:3]
    predicted = int(measurement.prediction.label[row])
    radius = int(measurement.certification.radius[row])
    certified = class_names[measurement.certification.label[row]]
    return _Exhibit(
        index=index,
        picture=_picture(image),
        target=class_names[target],
        ballots=[
            _Ballot(sample, class_names[answer], int(answer) == target)
            for sample, answer in zip(samples, answers, strict=True)
        ],
        votes=[(class_names[c], float(votes[c] / votes.sum())) for c in ranked],
        prediction="abstains" if predicted < 0 else class_names[predicted],
        certified=f"{certified}, up to {radius} {unit}" if radius >= 0 else "nothing",
    )


def _few_ballots(
    smoothed: SmoothedClassifier | FixedSmoothedClassifier, x: Tensor, index: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """What the design did to the input on a few ballots, and what they answer."""
    if isinstance(smoothed, FixedSmoothedClassifier):
        chosen = evenly_spread(smoothed.ablation.num_sets, _ABLATED_SAMPLES)
        answers = smoothed.ballots(x)[0].argmax(dim=1).numpy()
        return smoothed.ablation.membership[chosen], answers[chosen]
    masks = smoothed.ablation.draw(stream(0, Stage.ILLUSTRATION, index), _ABLATED_SAMPLES)
    return masks, smoothed.base_answers(x, torch.from_numpy(masks))


def _picture(image: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> Markup | None:
    """An inline PNG; None for feature vectors."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        return None
    buffer = io.BytesIO()
    figures.picture(image, mask).savefig(buffer, format="png", dpi=96)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(f'<img alt="" src="data:image/png;base64,{data}">')


def _svg(figure: Figure) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])


def _template_environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sparsecert.report", "."), autoescape=True, trim_blocks=True
    )


_TEMPLATE: Any = _template_environment().get_template("page.html")
