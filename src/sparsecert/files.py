"""Writing files so that a kill at any moment leaves the old file or the new one, never a half."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from sparsecert.errors import RunFolderError

PARTIAL = ".partial"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.partial")
_STALE_SECONDS = 900.0  # nobody writes one file for so long: its writer was killed


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without error.

    What killed writers left beside it is removed.

    Raises:
        RunFolderError: if the folder cannot be written to.
    """
    temporary = _beside(path)
    _remove_stale(path.parent)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second place: the same file where that can be, else a copy.

    Nothing is done where the target is there already. For files that are replaced, never written
    into.

    Raises:
        RunFolderError: if the target cannot be written.
    """
    source = source.resolve()
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:  # on another file system, or one that has no links
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def check_writable(path: Path) -> None:
    """Raise `RunFolderError` now rather than after hours, if `path` cannot be written later."""
    if not path.name or path.is_dir():
        raise RunFolderError(f"expected the path of a file to write, got the folder {path}")
    make_folder(path.parent)
    probe = _beside(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        RunFolderError: if it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"cannot create the folder {path}: {error.strerror or error}; "
            f"{_what_to_do(error) or 'choose another one'}"
        ) from error


def _beside(path: Path) -> Path:
    """A new name beside a path, hidden, and no other process's."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):  # another process may be at it too
            if _TEMPORARY.fullmatch(path.name) and _age(path) > _STALE_SECONDS:
                path.unlink()


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> RunFolderError:
    """What to say of a file that cannot be written."""
    return RunFolderError(
        f"cannot write {path}: {error.strerror or error}; "
        f"{_what_to_do(error) or 'choose another folder, or make this one writable'}"
    )


def _what_to_do(error: OSError) -> str | None:
    """Where another folder would not help by itself."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space and repeat the command, which goes on where it stopped"
    if error.errno == errno.ENAMETOOLONG:
        return "choose a shorter name"
    return None
