"""How inputs are randomised, or which sets are shown: the choice behind ballots and certificates.

A design draws what happens to each unit of an input on each ballot, which an encoding then applies.
It needs no torch. Its settings are the fields of a dataclass, which commands, run folders and
records take from there: a new design is one file here and its line in `designs/registry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.streams.samples import Samples


@runtime_checkable
class Units(Protocol):
    """What a radius counts."""

    @property
    def num_features(self) -> int:
        """d, in the units in which radii count."""
        ...

    @property
    def owner(self) -> NDArray[np.int64] | None:
        """`(entries,)` unit of each entry, -1 for what nobody can attack; None: each is one."""
        ...

    @property
    def num_entries(self) -> int:
        """Pixels or columns of an input: d, unless units have several, or none."""
        ...

    @staticmethod
    def features_of(input_shape: tuple[int, ...]) -> int:
        """Count the entries of an input of this shape."""
        ...


@runtime_checkable
class Drawn(Units, Protocol):
    """What draws the units that an input is seen through."""

    def draw(self, samples: Samples) -> NDArray[Any]:
        """`(samples, entries)`: what happens to each entry, as the encoding reads it.

        A sample depends on its own name alone, not on those that are drawn before or beside it.
        """
        ...


@runtime_checkable
class Design(Drawn, Protocol):
    """What every design says of itself.

    Attributes:
        name: what commands and files call it.
        rules: by which it certifies, its default first.
        encodings: that apply what it draws, its default first.
        retains: whether it draws which units are retained, and not what is added to them.
        architecture: the network that goes with it unless another is asked for, if there is one.
    """

    name: ClassVar[str]
    rules: ClassVar[tuple[str, ...]]
    encodings: ClassVar[tuple[str, ...]]
    retains: ClassVar[bool]
    architecture: ClassVar[str | None]

    def unit(self, input_shape: tuple[int, ...]) -> str:
        """What a radius counts on inputs of this shape, in the plural."""
        ...


@runtime_checkable
class SampledDesign(Design, Protocol):
    """A design whose samples are drawn at random, so that ballots estimate shares."""

    def share_thresholds(self, highest: float = 1.0) -> NDArray[np.float64]:
        """What a confidence bound on a share of ballots must exceed, by radius; rising.

        Args:
            highest: bounds beyond it do not come up, so neither need thresholds.
        """
        ...


def option(flag: str, words: str, default: Any = MISSING) -> Any:
    """A setting of a design that a command takes.

    Args:
        flag: the name of the command's option, without dashes.
        words: what it means, for the command's help.
        default: of the setting; by default it must be given.
    """
    return field(default=default, metadata={"flag": flag, "help": words})


def options(design: Any) -> dict[str, tuple[str, str, bool]]:
    """The settings that commands take, by name: flag, help, and whether it must be given."""
    return {
        f.name: (f.metadata["flag"], f.metadata["help"], f.default is MISSING)
        for f in fields(design)
        if "flag" in f.metadata
    }


def build_from(design: type[Any], settings: Mapping[str, Any]) -> Any:
    """A design of this kind.

    Args:
        design: the class.
        settings: the attributes of the design; others are passed over.

    Raises:
        InputError: for a missing setting or one out of range.
    """
    given: dict[str, Any] = {
        f.name: tuple(value) if isinstance(value, list) else value  # as JSON has it
        for f in fields(design)
        if (value := settings.get(f.name)) is not None
    }
    required = (f.name for f in fields(design) if f.default is MISSING)
    missing = [name for name in required if name not in given]
    if missing:
        raise InputError(f"the design {design.name} needs {' and '.join(missing)}")
    return design(**given)


def design_settings(design: Any) -> dict[str, Any]:
    """The inverse of `build_from`, with the name under "design"."""
    settings = asdict(design)
    for f in fields(design):
        if f.metadata.get("optional") and settings[f.name] is None:
            del settings[f.name]  # older files do not have it
    return {"design": design.name, **settings}


def sampled(design: object) -> SampledDesign:
    """The design, if it draws samples; raises `InputError`, with the way to go, if not."""
    if not isinstance(design, SampledDesign):
        raise InputError(
            "expected a design that draws samples, such as UniformAblation, got "
            f"{type(design).__name__}; for fixed families there are certify_ballots and "
            "FixedSmoothedClassifier"
        )
    return design


def check_rule_of(design: Design, rule: str) -> None:
    """Raise `InputError` for a rule that the design does not certify by."""
    if rule not in design.rules:
        raise InputError(
            f"expected one of the rules {', '.join(design.rules)}, by which the design "
            f"{design.name} certifies, got {rule!r}"
        )
