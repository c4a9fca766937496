"""Every design, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsecert.designs.bands import Bands
from sparsecert.designs.design import Design, build_from
from sparsecert.designs.family import Partitions
from sparsecert.designs.inversive import InversivePlane
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError

_DESIGNS: tuple[type[Design], ...] = (
    UniformAblation,
    Partitions,
    Bands,
    InversivePlane,
    DiscreteNoise,
)
DESIGNS: dict[str, type[Design]] = {design.name: design for design in _DESIGNS}


def check_design(name: str) -> type[Any]:
    """The design of that name; raises `InputError` if there is none."""
    if name not in DESIGNS:
        raise InputError(f"expected design to be one of {', '.join(DESIGNS)}, got {name!r}")
    return DESIGNS[name]


def build_design(name: str, settings: Mapping[str, Any]) -> Design:
    """A design by name.

    Args:
        name: a key of `DESIGNS`.
        settings: the attributes of the design; others are passed over.

    Raises:
        InputError: for an unknown name, a missing setting or one out of range.
    """
    design: Design = build_from(check_design(name), settings)
    return design
