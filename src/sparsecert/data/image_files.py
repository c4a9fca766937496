"""Image files as others made them: read in named formats, and from the named folder only."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from sparsecert.errors import InputError

# Pillow reads many more, some of them by other programs: it hands PostScript to Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_FILES_AT_ONCE = 100


class ImageFiles:
    """The image files of a column. Nothing but the table is in memory, mapped from disk.

    Args:
        table: a `datasets.Dataset`.
        column: its column of images, which holds each as bytes or as a path.
        folder: that every path must lie in; None for a data set from the Hub, whose paths are those
            that `datasets` downloaded to.
    """

    def __init__(self, table: Any, column: str, folder: Path | None) -> None:
        import datasets

        # `datasets` would decode any format.
        undecoded = datasets.Image(decode=False)
        self._rows = table.select_columns([column]).cast_column(column, undecoded)
        self._column, self._folder = column, folder

    def __len__(self) -> int:
        return len(self._rows)

    def contents(self) -> Iterator[bytes]:
        """Every file, one after the other."""
        for row in self._all_rows():
            yield self._content(row)

    def decoded(self, modes: Mapping[str, str]) -> Iterator[Image.Image]:
        """Every image, one after the other; see `decode`."""
        for index, row in enumerate(self._all_rows()):
            yield self._decode(index, row, modes)

    def decode(self, index: int, modes: Mapping[str, str]) -> Image.Image:
        """The image at this index, upright.

        Args:
            index: of the image.
            modes: to which mode of Pillow each mode is converted; others are refused.

        Raises:
            InputError: for a damaged file, another format or mode, or a path out of the folder.
        """
        return self._decode(index, self._rows[index][self._column], modes)

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of the image at this index, as its file has them."""
        row = self._rows[index][self._column]
        with _opened(self._content(row), _name(index, row)) as image:
            return image.size

    def _all_rows(self) -> Iterator[Any]:
        for start in range(0, len(self), _FILES_AT_ONCE):
            yield from self._rows[start : start + _FILES_AT_ONCE][self._column]

    def _decode(self, index: int, row: Any, modes: Mapping[str, str]) -> Image.Image:
        name = _name(index, row)
        with _opened(self._content(row), name) as image:
            if image.mode not in modes:
                raise InputError(f"expected images of 8 bits, got mode {image.mode} in {name}")
            try:
                return ImageOps.exif_transpose(image).convert(modes[image.mode])
            except Exception as error:  # Pillow raises many kinds for files that are damaged
                raise _damaged(name, error) from error

    def _content(self, row: Any) -> bytes:
        if not row or (row["bytes"] is None and row["path"] is None):
            raise InputError("expected an image in every row, found one without")
        if row["bytes"] is not None:
            return bytes(row["bytes"])
        if self._folder is None:
            from datasets.utils.file_utils import xopen

            with xopen(row["path"], "rb") as file:  # it may lie in an archive
                return bytes(file.read())
        path = Path(row["path"]).resolve()
        if not (path.is_relative_to(self._folder) and path.is_file()):
            raise InputError(f"expected image files inside {self._folder}, got {row['path']}")
        return path.read_bytes()


def _name(index: int, row: Any) -> str:
    """What a message calls an image."""
    return (row and row["path"]) or f"image {index}"


def _opened(content: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:  # Pillow raises many kinds for files that are damaged
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> InputError:
    why = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
    return InputError(f"{name} is truncated or not an image, of {', '.join(FORMATS)}{why}")
