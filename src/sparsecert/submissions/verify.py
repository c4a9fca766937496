"""Deriving every number of a submission's records anew, and saying what that cannot show.

The votes are read as `sparsecert certify` reads them: the same procedure measures, and the same
function says what a record says of it. A number that differs, a vote too few or too many, or an
image that is not one of those that the record is about is a reason to refuse.
"""

from __future__ import annotations

import contextlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsecert import data
from sparsecert.designs.design import check_rule_of
from sparsecert.designs.family import FamilyDesign
from sparsecert.errors import InputError, RunFolderError
from sparsecert.procedures.execution import Execution, LocalExecution
from sparsecert.procedures.procedure import Procedure, RunImages
from sparsecert.procedures.run import recorded_procedure
from sparsecert.records.record import derived_values
from sparsecert.submissions.recount import Recount, check_recount, check_samplers, recount
from sparsecert.submissions.submission import Submission, read_whole_record
from sparsecert.votes.parquet import REMEDY
from sparsecert.votes.store import VoteSettings

# What a record says of how it came about; no votes can show it.
TOLD = ("command", "hardware", "training_seconds", "version")
# Counts are compared exactly, as no two shares of images lie so close; the ends of intervals and
# means may differ in the last digits between processors and releases of SciPy.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verdict:
    """What was found of a submission.

    Attributes:
        path: its folder.
        records: by name, those whose numbers all follow from the votes.
        reasons: to refuse it, each a sentence; none where it is verified.
        unchecked: what it says that nothing here can show, each the end of "not checked: that".
        recounted: what counting some of its votes again gave; None where that was not asked for, or
            there is a reason to refuse it without.
    """

    path: Path
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    recounted: Recount | None = None

    @property
    def verified(self) -> bool:
        """Whether there is no reason to refuse it."""
        return not self.reasons


def verify(path: Path, num_recounted: int = 0, execution: Execution | None = None) -> Verdict:
    """Derive the numbers of a submission anew; whatever is wrong with it is among the reasons.

    Args:
        path: its folder.
        num_recounted: images of each record, drawn at random, whose votes are counted again with
            its weights; see `recount`.
        execution: where they are; by default in this process.

    Raises:
        InputError: where votes cannot be counted again, for want of weights, data or an older
            sampler.
    """
    try:
        submission = Submission.open(path)
    except (InputError, RunFolderError) as error:
        return Verdict(path, reasons=(_reason(error),))
    if num_recounted:
        check_recount(submission, num_recounted)
    reading = _Reading(submission)
    for record in submission.record_paths():
        with reading.reasons_of(record.name):
            reading.check_record(record)
    if not submission.record_paths():
        reading.reasons.append("it has no record")
    with reading.reasons_of("tallies"):
        reading.check_votes()
    with reading.reasons_of("labels"):
        reading.check_labels()
    counted = None
    if num_recounted and not reading.reasons:
        check_samplers(submission, reading.read)
        with reading.reasons_of("votes counted again"):
            where = execution or LocalExecution()
            counted = recount(submission, reading.read, num_recounted, where)
            reading.reasons += counted.reasons
    unchecked = tuple(_unchecked(submission, counted))
    return Verdict(path, reading.records, tuple(reading.reasons), unchecked, counted)


class _Reading:
    """A submission as it is being compared.

    Attributes:
        records: those that follow from the votes.
        reasons: to refuse it.
        read: how each record was measured, and the images that it is about.
    """

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.read: list[tuple[Procedure, RunImages]] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.reasons: list[str] = []
        self._images: dict[VoteSettings, set[int]] = {}

    @contextlib.contextmanager
    def reasons_of(self, name: str) -> Iterator[None]:
        """What cannot be read, or cannot be, is a reason to refuse."""
        try:
            yield
        except (InputError, RunFolderError) as error:
            self.reasons.append(f"{name}: {_reason(error)}")

    def check_record(self, path: Path) -> None:
        """Compare a record with what the votes give.

        Raises:
            InputError: for a record that is none, or votes that it lacks.
            RunFolderError: for votes that are damaged.
        """
        run, dataset = self.submission.run, self.submission.dataset
        record = read_whole_record(path, run.config)
        if record["dataset"] != dataset.name:
            raise InputError(
                f"expected a record on {dataset.name}, of which the labels are, got one on "
                f"{record['dataset']}"
            )
        check_rule_of(run.config.design, record["rule"])
        procedure = recorded_procedure(run.config.design, record)
        images = self.submission.images(record)
        for settings in procedure.votes_settings(images):
            self._images.setdefault(settings, set()).update(images.indices.tolist())
        self.read.append((procedure, images))
        found = derived_values(procedure, procedure.measure(images), record["limit"])
        said = {name: value for name, value in record.items() if name not in TOLD}
        wrong = list(_differences(said, json.loads(json.dumps(found)), ""))
        self.reasons += [f"{path.name}: {sentence}" for sentence in wrong]
        if not wrong:
            self.records[path.stem] = record

    def check_votes(self) -> None:
        """Refuse votes that no record speaks of, and images with votes twice."""
        store, known = self.submission.store, set[VoteSettings]()
        for settings, images in self._images.items():
            each: VoteSettings | None = settings
            while each is not None:
                known.add(each)
                each = store.older(each)
            if len(twice := store.repeated(settings)):
                self.reasons.append(
                    f"expected the {settings.name} votes of each image once, got several of "
                    f"{len(twice)} images, such as {twice[0]}"
                )
            others = set(store.read(settings).indices.tolist()) - images
            if others:
                self.reasons.append(
                    f"expected {settings.name} votes on the images that the records are about, got "
                    f"some on {len(others)} others, such as {min(others)}"
                )
        for settings in store.all_settings():
            if settings not in known:
                self.reasons.append(
                    f"expected votes that its records were measured by, got others, under "
                    f"{_shown(settings.to_json())}"
                )

    def check_labels(self) -> None:
        """Compare labels and fingerprint with the data set, if it is at hand.

        Raises:
            InputError: if the data set cannot be read, or is not of the configuration's kind.
        """
        claimed, config = self.submission.dataset, self.submission.run.config
        if not data.is_at_hand(claimed.name):
            return
        dataset = data.load(claimed.name, "test", config.feature_range)
        config.check_dataset(dataset, "as the configuration says")
        if len(dataset) != len(claimed):
            self.reasons.append(
                f"expected the labels of {len(dataset)} test images of {dataset.name}, got "
                f"{len(claimed)}"
            )
        elif len(wrong := np.flatnonzero(dataset.labels != claimed.labels)):
            self.reasons.append(
                f"expected the labels of {dataset.name}, got others of {len(wrong)} images: "
                f"{claimed.labels[wrong[0]]} for image {wrong[0]}, which is "
                f"{dataset.labels[wrong[0]]}"
            )
        elif dataset.fingerprint() != claimed.fingerprint():
            self.reasons.append(
                f"expected votes on the test split of {dataset.name} with the fingerprint "
                f"{dataset.fingerprint()}, got {claimed.fingerprint()}"
            )


def _reason(error: Exception) -> str:
    """The sentence without what to do in a run folder: without the network nothing is counted."""
    return str(error).removesuffix(REMEDY)


def _differences(said: Any, found: Any, name: str) -> Iterator[str]:
    """Sentences on where two JSON values differ; of a list only the first place."""
    if isinstance(said, dict) and isinstance(found, dict):
        for key in [*found, *(key for key in said if key not in found)]:
            inner = f"{name}.{key}" if name else key
            if key not in said:
                yield f"it lacks {inner}, which the votes give as {reprlib.repr(found[key])}"
            elif key not in found:
                yield f"it says {inner}, which no such record does"
            else:
                yield from _differences(said[key], found[key], inner)
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for place, values in enumerate(zip(said, found, strict=True)):
            if different := next(_differences(*values, f"{name}[{place}]"), None):
                yield different
                return
    elif not _is_same(said, found):
        words = f"{reprlib.repr(said)}, but the votes give {reprlib.repr(found)}"
        yield f"it says that {name} is {words}"


def _is_same(said: Any, found: Any) -> bool:
    if isinstance(said, float) and isinstance(found, float):
        return abs(said - found) <= _TOLERANCE * max(1.0, abs(found))
    return type(said) is type(found) and bool(said == found)


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {reprlib.repr(value)}" for name, value in settings.items())


def _unchecked(submission: Submission, counted: Recount | None) -> Iterator[str]:
    """What no votes can show."""
    trained = "trained on that data in that way"
    if counted is None:
        yield f"the votes were cast by the network of config.json, {trained}"
        if isinstance(submission.run.config.design, FamilyDesign):
            yield "every set of the family cast its own ballot"
        else:
            how = "independently, to select and to estimate"
            yield f"ablations were drawn as the design says, {how}"
    else:
        yield f"the network was {trained}"
        yield "it cast the votes on other images than those too, on the design's ablations"
    yield "settings and seed were chosen before the votes, and not as the best of several"
    yield f"{', '.join(TOLD)} and the seconds of images are true"
    if not data.is_at_hand(submission.dataset.name):
        yield (
            f"the labels are those of {submission.dataset.name}, which is not at hand; "
            f"{data.DATA_VARIABLE} names a folder of data sets"
        )
