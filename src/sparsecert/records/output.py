"""Results where the user wants them: a file, a device or pipe, or standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from sparsecert import files
from sparsecert.errors import InputError, RunFolderError

STANDARD_OUTPUT = Path("-")


def check_outputs(folder: Path, **paths: Path | None) -> None:
    """Raise now rather than after hours, if a result could not be written later.

    Args:
        folder: of the run, whose own files no result may overwrite.
        paths: where results go, by the name of their option; None is nowhere.

    Raises:
        InputError: for a path in the run folder, or the same path twice.
        RunFolderError: for a path that cannot be written.
    """
    given = {f"--{name}": path for name, path in paths.items() if path is not None}
    targets = [path if path == STANDARD_OUTPUT else path.resolve() for path in given.values()]
    if len(set(targets)) < len(targets):
        raise InputError(f"expected different files for {' and '.join(given)}, got the same")
    for (name, path), target in zip(given.items(), targets, strict=True):
        if path == STANDARD_OUTPUT:
            continue
        if target.is_relative_to(folder.resolve()):
            raise InputError(
                f"expected a file outside the run folder for {name}, which keeps its own, got "
                f"{path}"
            )
        if not _is_special(target):
            files.check_writable(target)


def write_output(path: Path, text: str) -> None:
    """Write a result: atomically to a file, through a link, a device or a pipe, or to the screen.

    Raises:
        RunFolderError: if it cannot be written.
    """
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    target = path.resolve()
    if not _is_special(target):
        files.make_folder(target.parent)
        files.write_text(target, text)
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error


def _is_special(path: Path) -> bool:
    """Whether it is there, and neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()
