"""Large images, kept as the files they are and decoded when asked for."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sparsecert.data.image_files import ImageFiles

SIDE = 224
_SHORT_SIDE = 256  # at test time: resize to this, then cut out the middle
_AREA = (0.08, 1.0)  # in training: the share of the image that a crop covers
_RATIO = (3 / 4, 4 / 3)  # and its width over its height
_TRIES = 10
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # of 8 bits
_TO_COLOUR = dict.fromkeys(_MODES, "RGB")


class EncodedImages:
    """Colour images of any size, shown as `(size, 3, 224, 224)` bytes.

    Indexing decodes the images at those indices, resizes the shorter side to 256 and cuts out the
    middle.

    Args:
        files: the images.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, files: ImageFiles) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As if decoded."""
        return (len(self), 3, SIDE, SIDE)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The middle of each image."""
        return self._decoded([(int(index), _middle) for index in indices])

    def random_crops(
        self, indices: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """A random part of each image, resized, and mirrored half the time.

        The usual training view (Szegedy et al. 2015): 8 % to 100 % of the area, a ratio of the
        sides between 3/4 and 4/3; of ten proposals the first that fits, else the middle.
        """
        count = len(indices)
        area = generator.uniform(*_AREA, size=(count, _TRIES))
        low, high = map(math.log, _RATIO)
        ratio = np.exp(generator.uniform(low, high, size=(count, _TRIES)))
        place = generator.uniform(size=(count, 2))
        mirrored = generator.random(count) < 0.5
        views = (_random_part(*draws) for draws in zip(area, ratio, place, mirrored, strict=True))
        return self._decoded(list(zip(map(int, indices), views, strict=True)))

    @cached_property
    def fingerprint(self) -> bytes:
        """A hash of every file, which reads them all, once."""
        digest = hashlib.sha256()
        for content in self._files.contents():
            digest.update(f"{len(content)},".encode())
            digest.update(content)
        return digest.digest()

    def __getstate__(self) -> dict[str, object]:
        """All but the threads, which stay in their process."""
        return {name: value for name, value in vars(self).items() if name != "_threads"}

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count())  # decoding leaves Python's lock

    def _decoded(self, wanted: list[tuple[int, View]]) -> NDArray[np.uint8]:
        def decode(item: tuple[int, View]) -> NDArray[np.uint8]:
            index, view = item
            return np.asarray(view(self._files.decode(index, _TO_COLOUR))).transpose(2, 0, 1)

        return np.stack(list(self._threads.map(decode, wanted)))


View = Callable[[Image.Image], Image.Image]


def _middle(image: Image.Image) -> Image.Image:
    width, height = image.size
    part = SIDE / _SHORT_SIDE * min(width, height)
    left, top = (width - part) / 2, (height - part) / 2
    box = (left, top, left + part, top + part)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)


def _random_part(
    areas: NDArray[np.float64],
    ratios: NDArray[np.float64],
    place: NDArray[np.float64],
    mirrored: np.bool_,
) -> View:
    def view(image: Image.Image) -> Image.Image:
        width, height = image.size
        wide = np.sqrt(areas * ratios * width * height)
        tall = np.sqrt(areas / ratios * width * height)
        fits = np.flatnonzero((wide <= width) & (tall <= height))
        if len(fits):
            part = wide[fits[0]], tall[fits[0]]
        else:
            part = (float(min(width, height)),) * 2
            place[:] = 0.5
        left, top = place[0] * (width - part[0]), place[1] * (height - part[1])
        box = (left, top, left + part[0], top + part[1])
        shown = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
        return shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else shown

    return view
