"""Votes on disk: what is common to the stores of tallies, looks and ballots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sparsecert.votes.parquet import read_parts, write_part


@dataclass(frozen=True)
class VoteSettings:
    """What votes depend on, beside the image.

    Attributes:
        fingerprint: of the model, its design and encoding.
        dataset_fingerprint: of the evaluated split.
    """

    fingerprint: str
    dataset_fingerprint: str


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


class VoteStore(ABC, Generic[SettingsT, VotesT]):
    """Votes in the `tallies` folder of a run.

    Args:
        folder: where the parts are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, settings: SettingsT, finished: Sequence[Stored[VotesT]]) -> None:
        """Write these images as one part, atomically; nothing if there are none.

        Raises:
            RunFolderError: if the folder cannot be written to.
        """
        if not finished:
            return
        joined = self._joined(finished)
        columns = {"index": joined.indices, "seconds": joined.seconds}
        columns |= self._columns(joined.votes)
        first = int(joined.indices[0])
        write_part(self.folder, self._name(settings), first, columns, asdict(settings))

    def read(self, settings: SettingsT) -> Stored[VotesT]:
        """All images with votes under these settings.

        Where parts overlap, as after a run was repeated on two machines, the images of the part
        whose name sorts first are used, unless the kind of votes has a reason to prefer others.

        Raises:
            RunFolderError: for a part that is damaged or of another model.
        """
        return self._merged(settings, list(self._parts(settings).values()))

    def compact(self, settings: SettingsT) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        parts = self._parts(settings)
        if len(parts) < 2:
            return
        merged = self._merged(settings, list(parts.values()))
        if self._is_less(merged.votes, [part.votes for part in parts.values()]):
            return
        self.append(settings, [merged])
        for path in parts:
            path.unlink(missing_ok=True)

    def _parts(self, settings: SettingsT) -> dict[Path, Stored[VotesT]]:
        def decode(columns: dict[str, NDArray[Any]]) -> Stored[VotesT]:
            votes = self._decoded(columns, settings)
            return Stored(columns["index"], columns["seconds"], votes)

        return read_parts(self.folder, asdict(settings), decode)

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
    def _name(self, settings: SettingsT) -> str:
        """How the names of files begin."""

    @abstractmethod
    def _columns(self, votes: VotesT) -> dict[str, NDArray[Any]]:
        """Votes as columns of a part."""

    @abstractmethod
    def _decoded(self, columns: dict[str, NDArray[Any]], settings: SettingsT) -> VotesT:
        """The inverse of `_columns`; raises `InputError` for votes that cannot be."""

    @abstractmethod
    def _empty(self, settings: SettingsT) -> VotesT:
        """Votes on no image."""

    @abstractmethod
    def _concatenated(self, votes: Sequence[VotesT]) -> VotesT:
        """One batch after the other."""

    def _by_preference(self, joined: Stored[VotesT]) -> NDArray[np.int64]:
        """Rows, those to be preferred where an image comes twice before the others."""
        return np.arange(len(joined.indices))

    def _is_less(self, merged: VotesT, parts: Sequence[VotesT]) -> bool:
        """Whether the merged votes lack something that one of the parts has."""
        return False
