"""The report: one self-contained HTML page, no server and no other file."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsecert.procedures.run import recorded_images, recorded_procedure
from sparsecert.records.output import write_output
from sparsecert.records.record import read_record
from sparsecert.report import figures, tables, words
from sparsecert.report.attacks import attack_section
from sparsecert.report.gallery import gallery
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.log import read_log
from sparsecert.theory.shift import majority_thresholds

# Of everything in figures that is neither data nor paper: the page's own colour of text.
_INK = "#010203"
_STYLE: dict[Any, Any] = {
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}
_INTERVAL = re.compile(r"\[[^][]*\]|[\d.]+ %")


def write_report(
    run: RunFolder, beside: Sequence[tuple[str, ...]] = (), path: Path | None = None
) -> Path:
    """Write the page of the run's latest record; returns its path.

    Everything but the gallery's few ablated samples comes from stored tallies.

    Args:
        run: a certified run.
        beside: a table that sets the record beside the paper, its heads first; none by default.
        path: of the page; by default in the run folder.

    Raises:
        RunFolderError: if the run has not been certified, or the page cannot be written.
    """
    with rc_context(_STYLE):
        page = _page(run, beside)
    path = run.report_path if path is None else path
    write_output(path, page)
    return path


def _page(run: RunFolder, beside: Sequence[tuple[str, ...]]) -> str:
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
    attacks = attack_section(run, dataset, unit)
    summaries = [
        tables.summary_rows(measurement, unit, procedure.sampling, procedure.top)
        for measurement in measurements.values()
    ]
    return _TEMPLATE.render(
        title=f"{record['dataset']}, {config.design} {unit}",
        record=record,
        unit=unit,
        inputs=words.inputs_of(unit),
        one=words.one_of(words.inputs_of(unit)),
        pictures=len(config.input_shape) == 3,
        paragraph=words.paragraph(
            config.design, record["rule"], chosen.evaluation, unit, chosen.threat, procedure.top
        ),
        glossary=words.glossary(record, measurements, config.design, unit),
        summary_heads=[f"{rule} rule" for rule in measurements],
        summary_rows=[
            (cells[0][0], *(value for _, value in cells)) for cells in zip(*summaries, strict=True)
        ],
        certified=tables.certified_rows(chosen),
        threat=chosen.threat,
        top=procedure.top,
        curve=figures.certified_accuracy_curve(
            {rule: measurement.evaluation for rule, measurement in measurements.items()}, unit
        )
        if not chosen.threat.sizes
        else None,
        limits=_limits(record, unit),
        training=_training(run),
        gallery=gallery(chosen, {} if attacks is None else attacks.results, unit),
        retains=config.design.retains,
        attacks=attacks,
        beside=beside,
        config=json.dumps(config.to_json(), indent=2),
    )


def _limits(record: Mapping[str, Any], unit: str) -> tuple[Figure, str] | None:
    """Delta against rho, and the largest radius there can be, where every k-subset is drawn."""
    if "num_retained" not in record:
        return None
    d, k = record["num_features"], record["num_retained"]
    others = sorted({max(1, k // 2), min(d, 2 * k)} - {k})
    ceiling = len(majority_thresholds(d, k)) - 1
    figure = figures.shift_against_rho(d, [k, *others], 2 * (ceiling + 1), unit)
    return figure, words.counted(ceiling, unit)


def _training(run: RunFolder) -> Figure | None:
    if not (epochs := read_log(run.log_path)):
        return None
    return figures.training_curve(
        [line.epoch for line in epochs], [line.ablated_accuracy for line in epochs]
    )


def _picture(
    image: NDArray[np.float32],
    alt: str,
    mask: NDArray[np.bool_] | None = None,
    changed: NDArray[np.bool_] | None = None,
) -> Markup:
    """An inline PNG; nothing for feature vectors."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        return Markup()
    buffer = io.BytesIO()
    figures.picture(image, mask, changed).savefig(buffer, format="png", dpi=96)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(alt, data)


def _svg(figure: Figure, label: str) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue().replace(_INK, "currentColor")
    drawn = text[text.index("<svg") + len("<svg") :]
    return Markup('<svg role="img" aria-label="{}"').format(label) + Markup(drawn)


def _kept(text: str) -> Markup:
    """Text whose intervals and percentages are not broken over lines."""
    kept = _INTERVAL.sub(r'<span class="kept">\g<0></span>', str(escape(text)))
    return Markup(kept)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("sparsecert.report", "."), autoescape=True, trim_blocks=True
)
_ENVIRONMENT.filters |= {"kept": _kept, "picture": _picture, "svg": _svg}
_TEMPLATE = _ENVIRONMENT.get_template("page.html")
