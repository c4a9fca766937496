"""The files of a data folder: of which kind they are, and of which split.

Only names count. A card, script or configuration in the folder is not asked, as it could name files
elsewhere.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

from PIL import Image

from sparsecert.errors import InputError

# As `datasets` reads names: the words stand alone, in a folder's name or else in a file's.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_NUMBERED = re.compile(r"data/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]*")  # as `datasets` writes them
_IMAGE_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # such as labels


def files_of_splits(root: Path) -> tuple[str, dict[str, list[Path]]]:
    """The data files of a folder.

    Args:
        root: the folder, its own links resolved.

    Returns:
        What reads them, "parquet", "csv" or "imagefolder", whichever most of the files are for, and
        the files by split; no split where there are no files.

    Raises:
        InputError: for a link out of the folder, or to a folder.
    """
    builders = {name: _builder(name) for name in _names(root)}
    counts = Counter(filter(None, builders.values()))
    if not counts:
        return "", {}
    builder = max(counts, key=lambda kind: (counts[kind], kind == "parquet"))
    extra = _IMAGE_METADATA if builder == "imagefolder" else ()
    names = [
        name
        for name, kind in builders.items()
        if kind == builder or PurePosixPath(name).name in extra
    ]
    by_split = _by_split(names)
    return builder, {split: [root / name for name in some] for split, some in by_split.items()}


def _names(root: Path) -> list[str]:
    """Paths of all files inside the folder, in order; what is hidden is passed over."""
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        files = [name for name in files if not name.startswith(".")]
        for path in (Path(place, name) for name in folders + files):
            inside = path.is_file() and path.resolve().is_relative_to(root)
            if path.is_symlink() and not inside:
                raise InputError(
                    f"expected only files inside {root}, got {path}, a link to {path.readlink()}; "
                    "copy what it points to in its place"
                )
            if "::" in str(path):  # which makes a path an address
                raise InputError(f"expected paths without '::', got {path}; rename it")
        found += [Path(place, name).relative_to(root).as_posix() for name in files]
    return sorted(found)


def _builder(name: str) -> str | None:
    path = PurePosixPath(name)
    if path.name in _IMAGE_METADATA:
        return None
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".csv"):
        return suffix[1:]
    # Formats that are not read are images too, so that they are refused and not passed over.
    return "imagefolder" if suffix in Image.registered_extensions() else None


def _by_split(names: list[str]) -> dict[str, list[str]]:
    numbered: dict[str, list[str]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            numbered.setdefault(match[1], []).append(name)
    if numbered:
        return numbered
    in_folders, in_names = {}, {}
    for split, words in _WORDS.items():
        word = re.compile(rf"(?<![^-._ 0-9])(?:{'|'.join(words)})(?![^-._ 0-9])")
        in_folders[split] = [n for n in names if any(map(word.search, PurePosixPath(n).parts[:-1]))]
        in_names[split] = [n for n in names if word.search(PurePosixPath(n).name)]
    for splits in (in_folders, in_names):
        if any(splits.values()):
            return {split: some for split, some in splits.items() if some}
    return {"train": names}
