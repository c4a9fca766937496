"""Votes on disk: a row per image, among a run's tallies, written as images finish."""

from __future__ import annotations

import json
import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError, RunFolderError
from sparsecert.json_values import build
from sparsecert.streams import Stage
from sparsecert.streams.samples import SAMPLER_VERSION
from sparsecert.votes.parquet import (
    find_counters,
    find_parts,
    find_settings,
    read_parts,
    write_part,
)
from sparsecert.votes.ranking_columns import ranking_columns, read_rankings
from sparsecert.votes.tally import Tally, most_tracked
from sparsecert.votes.tracked_classes import tracks_few


@dataclass(frozen=True)
class VoteSettings:
    """What votes depend on, beside the image.

    Attributes:
        fingerprint: of the model, its design and encoding.
        dataset_fingerprint: of the evaluated split.
    """

    fingerprint: str
    dataset_fingerprint: str

    @property
    def name(self) -> str:
        """How the names of files begin."""
        return "ballots"

    def to_json(self) -> dict[str, Any]:
        """As a part holds them."""
        return asdict(self)


@dataclass(frozen=True)
class TallySettings(VoteSettings):
    """What the counts of a stage depend on, beside the image.

    Neither the rule nor alpha is among them: they decide how far an image is counted under a
    schedule of several looks, not what the counts are.

    Attributes:
        seed: of the random streams.
        stage: what the ablations were for, in lower case.
        num_samples: ablations per image; under a schedule of several looks the budget.
        looks: numbers of ballots at which counts are stored; None for one look, at all of them.
        sampler_version: of what a name draws (`streams.samples.SAMPLER_VERSION`).
    """

    seed: int
    stage: str
    num_samples: int
    looks: tuple[int, ...] | None = None
    sampler_version: int = SAMPLER_VERSION

    @property
    def older(self) -> TallySettings | None:
        """Those of the sampler before, whose votes are read too; None if there was none."""
        before = self.sampler_version - 1
        return replace(self, sampler_version=before) if before else None

    def __post_init__(self) -> None:
        if self.stage.upper() not in Stage.__members__:
            raise InputError(f"expected the name of a stage, got {self.stage!r}")

    @property
    def name(self) -> str:
        """How the names of files begin."""
        return self.stage if self.looks is None else f"{self.stage}-sequential"

    def to_json(self) -> dict[str, Any]:
        """As a part holds them: tallies of one look, or of the first sampler, name none."""
        values = asdict(self)
        if self.looks is None:
            del values["looks"]
        if self.sampler_version == 1:
            del values["sampler_version"]
        return values


@runtime_checkable
class Votes(Protocol):
    """Votes on several images."""

    def take(self, rows: NDArray[np.int64], /) -> Any:
        """The images at these rows."""
        ...


VotesT = TypeVar("VotesT", bound=Votes)
SettingsT = TypeVar("SettingsT", bound=VoteSettings)


@dataclass(frozen=True)
class Stored(Generic[VotesT]):
    """Votes on some images of a data set.

    Attributes:
        indices: `(images,)` index of each image in its data set, rising.
        seconds: `(images,)` time it took.
        votes: in the same order.
    """

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    votes: VotesT

    def take(self, rows: NDArray[np.int64]) -> Stored[VotesT]:
        """The images at these rows."""
        return Stored(self.indices[rows], self.seconds[rows], self.votes.take(rows))


@dataclass(frozen=True)
class Choice:
    """Some images of a data set.

    Attributes:
        dataset_fingerprint: of the data set.
        indices: `(images,)` indices in it.
    """

    dataset_fingerprint: str
    indices: NDArray[np.int64]


class VoteStore(ABC, Generic[SettingsT, VotesT]):
    """Votes in the `tallies` folder of a run.

    Args:
        folder: where the parts are.
        num_images: of the data set, which the votes of a part are on; None where it is not known.
    """

    def __init__(self, folder: Path, num_images: int | None = None) -> None:
        self.folder, self.num_images = folder, num_images

    def append(
        self,
        settings: SettingsT,
        finished: Sequence[Stored[VotesT]],
        counted_by: Collection[str] = (),
    ) -> None:
        """Write these images as one part, atomically; nothing if there are none.

        Args:
            settings: what the votes depend on.
            finished: the images.
            counted_by: what cast the votes, in words.

        Raises:
            RunFolderError: if the folder cannot be written to.
        """
        if not finished:
            return
        joined = self._joined(finished)
        columns = {"index": joined.indices, "seconds": joined.seconds}
        columns |= self._columns(joined.votes)
        first = int(joined.indices[0])
        write_part(self.folder, settings.name, first, columns, settings.to_json(), counted_by)

    def read(self, settings: SettingsT) -> Stored[VotesT]:
        """All images with votes under these settings, or under older ones if not under these.

        Where parts overlap, as after a run was repeated on two machines, the images of the part
        whose name sorts first are used, unless the kind of votes has a reason to prefer others.

        Raises:
            RunFolderError: for a part that is damaged or of another model.
        """
        own, older = self._own(settings), self.older(settings)
        if older is None:
            return own
        rest = self.read(older)
        rest = rest.take(np.flatnonzero(~np.isin(rest.indices, own.indices)))
        return self._merged(settings, [part for part in (own, rest) if len(part.indices)])

    def is_older(self, settings: SettingsT, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """`(images,)` which of these images have votes under older settings only.

        Raises:
            RunFolderError: as `read` does.
        """
        older = self.older(settings)
        if older is None:
            return np.zeros(len(indices), dtype=np.bool_)
        # Nobody adds older votes, and who adds new ones meanwhile is seen by reading them last.
        found = np.isin(indices, self.read(older).indices)
        if not found.any():
            return found
        return found & ~np.isin(indices, self._own(settings).indices)

    def counted_by(self, settings: SettingsT) -> set[str]:
        """What cast the votes under these settings, in words; of older votes it is not known.

        Raises:
            RunFolderError: as `read` does.
        """
        return find_counters(self.folder, settings.to_json())

    def _own(self, settings: SettingsT) -> Stored[VotesT]:
        return self._merged(settings, list(self._parts(settings).values()))

    def compact(self, settings: SettingsT) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        if len(find_parts(self.folder, settings.to_json())) < 2:
            return
        parts = self._parts(settings)
        merged = self._merged(settings, list(parts.values()))
        if self._is_less(merged.votes, [part.votes for part in parts.values()]):
            return
        self.append(settings, [merged], self.counted_by(settings))
        for path in parts:
            path.unlink(missing_ok=True)

    def take_over(
        self,
        other: VoteStore[SettingsT, VotesT],
        fingerprint: str,
        only: Choice | None = None,
    ) -> None:
        """Add the votes that lie in another folder, under whatever settings, and merge the parts.

        Images that have been counted here as far are left as they are.

        Args:
            other: where from.
            fingerprint: of the model that the votes must be of.
            only: the images; by default all.

        Raises:
            RunFolderError: for a part that is damaged or of another model.
        """
        for settings in other.all_settings():
            if only is not None and settings.dataset_fingerprint != only.dataset_fingerprint:
                continue
            theirs = other._own(replace(settings, fingerprint=fingerprint))
            if only is not None:
                theirs = theirs.take(np.flatnonzero(np.isin(theirs.indices, only.indices)))
            gained = self._gained(self.read(settings), theirs)
            if len(gained):
                self.append(settings, [theirs.take(gained)], other.counted_by(settings))
            self.compact(settings)

    def copy_to(
        self,
        target: VoteStore[SettingsT, VotesT],
        settings: SettingsT,
        indices: NDArray[np.int64],
        needed: Callable[[VotesT], VotesT],
    ) -> None:
        """Copy what `read` gives of these images, each under the settings that it was made under.

        Args:
            target: where to.
            settings: what the votes depend on.
            indices: of the images.
            needed: what is copied of some votes.

        Raises:
            RunFolderError: for a part that is damaged or of another model, or a folder that cannot
                be written to.
        """
        own, older = self._own(settings), self.older(settings)
        is_wanted = np.isin(own.indices, indices)
        if is_wanted.any():
            chosen = own.take(np.flatnonzero(is_wanted))
            chosen = replace(chosen, votes=needed(chosen.votes))
            target.append(settings, [chosen], self.counted_by(settings))
        if older is not None:
            self.copy_to(target, older, np.setdiff1d(indices, own.indices), needed)

    def repeated(self, settings: SettingsT) -> NDArray[np.int64]:
        """Indices of images that have votes more than once under these settings or older ones.

        Raises:
            RunFolderError: as `read` does.
        """
        found: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
        each: SettingsT | None = settings
        while each is not None:
            found += [part.indices for part in self._parts(each).values()]
            each = self.older(each)
        indices, counts = np.unique(np.concatenate(found), return_counts=True)
        return indices[counts > 1]

    def all_settings(self) -> list[SettingsT]:
        """The settings of all votes in the folder.

        Raises:
            RunFolderError: for a part that is damaged.
        """
        every = []
        for values in find_settings(self.folder):
            try:
                every.append(self._settings(values))
                if json.loads(json.dumps(every[-1].to_json())) != values:
                    raise InputError("there are others")
            except InputError as error:
                raise RunFolderError(
                    f"{self.folder} holds a part under settings that cannot be: {error}, got "
                    f"{reprlib.repr(values)}; remove it, and its images will be done again"
                ) from error
        return every

    def _gained(self, own: Stored[VotesT], theirs: Stored[VotesT]) -> NDArray[np.int64]:
        """Rows of theirs that are not here, or have been counted further there."""
        joined = self._joined([own, theirs])
        order = self._by_preference(joined)
        chosen = order[np.unique(joined.indices[order], return_index=True)[1]] - len(own.indices)
        return np.sort(chosen[chosen >= 0])

    def _parts(self, settings: SettingsT) -> dict[Path, Stored[VotesT]]:
        def decode(columns: dict[str, NDArray[Any]]) -> Stored[VotesT]:
            indices, seconds = columns["index"], columns["seconds"]
            self._check_images(indices, seconds)
            return Stored(indices, seconds, self._decoded(columns, settings))

        widths = {"index": 1, "seconds": 1, **self._widths(settings)}
        return read_parts(self.folder, settings.to_json(), widths, self.num_images, decode)

    def _check_images(self, indices: NDArray[Any], seconds: NDArray[Any]) -> None:
        """Raise `InputError` for what is no image of the data set, or comes twice, or no time."""
        most = np.inf if self.num_images is None else self.num_images
        if not np.issubdtype(indices.dtype, np.integer) or len(np.unique(indices)) < len(indices):
            raise InputError("expected each image once, by its index")
        if indices.size and not 0 <= indices.min() <= indices.max() < most:
            raise InputError(
                f"expected indices of {most} images, got {indices.min()} to {indices.max()}"
            )
        if not (np.issubdtype(seconds.dtype, np.floating) and np.isfinite(seconds).all()):
            raise InputError("expected the seconds that each image took")

    def _merged(self, settings: SettingsT, parts: Sequence[Stored[VotesT]]) -> Stored[VotesT]:
        """Each image of these parts once, in their order."""
        if not parts:
            return Stored(np.empty(0, dtype=np.int64), np.empty(0), self._empty(settings))
        joined = self._joined(parts)
        order = self._by_preference(joined)
        # np.unique gives the first occurrence.
        return joined.take(order[np.unique(joined.indices[order], return_index=True)[1]])

    def _joined(self, parts: Sequence[Stored[VotesT]]) -> Stored[VotesT]:
        return Stored(
            np.concatenate([part.indices for part in parts]),
            np.concatenate([part.seconds for part in parts]),
            self._concatenated([part.votes for part in parts]),
        )

    @abstractmethod
    def _settings(self, values: Mapping[str, Any]) -> SettingsT:
        """Settings from what a part holds; raises `InputError` for what are none."""

    @abstractmethod
    def _columns(self, votes: VotesT) -> dict[str, NDArray[Any]]:
        """Votes as columns of a part."""

    @abstractmethod
    def _widths(self, settings: SettingsT) -> dict[str, int]:
        """The most numbers that a row has in each of these columns."""

    @abstractmethod
    def _decoded(self, columns: dict[str, NDArray[Any]], settings: SettingsT) -> VotesT:
        """The inverse of `_columns`; raises `InputError` for votes that cannot be."""

    @abstractmethod
    def _empty(self, settings: SettingsT) -> VotesT:
        """Votes on no image."""

    @abstractmethod
    def _concatenated(self, votes: Sequence[VotesT]) -> VotesT:
        """One batch after the other."""

    def older(self, settings: SettingsT) -> SettingsT | None:
        """Those of an older version of sparsecert, whose votes are read and never gone on with."""
        return None

    def _by_preference(self, joined: Stored[VotesT]) -> NDArray[np.int64]:
        """Rows, those to be preferred where an image comes twice before the others."""
        return np.arange(len(joined.indices))

    def _is_less(self, merged: VotesT, parts: Sequence[VotesT]) -> bool:
        """Whether the merged votes lack something that one of the parts has."""
        return False


class TallyStore(VoteStore[TallySettings, Tally]):
    """The tallies of a run; of images counted twice, the furthest count.

    Head-to-head counts are there if every part that is read has them; where classes are tracked,
    images of parts without them track none.

    Args:
        folder: where the parts are.
        num_classes: number of classes.
        num_images: of the data set; None where it is not known.
    """

    def __init__(self, folder: Path, num_classes: int, num_images: int | None = None) -> None:
        super().__init__(folder, num_images)
        self.num_classes = num_classes

    def _settings(self, values: Mapping[str, Any]) -> TallySettings:
        return build(TallySettings, {"sampler_version": 1, **values})  # the first has no name

    def _columns(self, votes: Tally) -> dict[str, NDArray[Any]]:
        rankings = ranking_columns(votes.head_to_head, votes.tracked_classes)
        return {"first_choice": votes.first_choice.reshape(len(votes), -1), **rankings}

    def _widths(self, settings: TallySettings) -> dict[str, int]:
        looks, classes = settings.looks or (settings.num_samples,), self.num_classes
        tracked = min(most_tracked(looks), classes)
        few = tracks_few(classes)
        pairs = tracked * classes if few else classes * (classes - 1) // 2
        return {
            "first_choice": len(looks) * classes,
            "head_to_head": len(looks) * pairs,
            "followed": tracked,
        }

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: TallySettings) -> Tally:
        rows, classes = len(columns["index"]), self.num_classes
        looks = () if settings.looks is None else (len(settings.looks),)
        shape = (rows, *looks, classes)
        if columns["first_choice"].size != math.prod(shape):
            raise InputError(f"expected counts of {classes} classes, got another number")
        first_choice = columns["first_choice"].reshape(shape)
        totals = first_choice.sum(axis=-1)
        if settings.looks is None and (totals != settings.num_samples).any():
            raise InputError(f"expected counts that add up to {settings.num_samples} votes")
        return Tally(first_choice, *read_rankings(columns, totals, classes), settings.looks)

    def _empty(self, settings: TallySettings) -> Tally:
        return Tally.empty(settings.looks, 0, self.num_classes)

    def _concatenated(self, votes: Sequence[Tally]) -> Tally:
        return Tally.concatenate(votes)

    def older(self, settings: TallySettings) -> TallySettings | None:
        """Those of the sampler before; see `VoteStore`."""
        return settings.older

    def _by_preference(self, joined: Stored[Tally]) -> NDArray[np.int64]:
        return np.argsort(-joined.votes.num_reached, kind="stable")

    def _is_less(self, merged: Tally, parts: Sequence[Tally]) -> bool:
        recorded = any(part.head_to_head is not None for part in parts)
        return recorded and merged.head_to_head is None
