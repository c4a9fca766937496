"""How inputs are randomised: the one choice behind sampling, certificates and file names.

A design draws what happens to each feature of each sample, which an encoding then applies to an
input, and knows what the votes on such samples certify. It needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sparsecert.designs.noise import DiscreteNoise
from sparsecert.designs.partitions import Partitions
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.theory import CertifiedRadius
from sparsecert.votes.tally import Tally


@runtime_checkable
class Design(Protocol):
    """What the smoothed classifier, training and certification ask of a design.

    Attributes:
        name: a key of `DESIGNS`.
        rules: keys of `theory.RULES` that it certifies by.
        encodings: that apply what it draws, its default first.
    """

    name: ClassVar[str]
    rules: ClassVar[tuple[str, ...]]
    encodings: ClassVar[tuple[str, ...]]

    @property
    def num_features(self) -> int:
        """d, in the units in which radii count."""
        ...

    @staticmethod
    def features_of(input_shape: tuple[int, ...]) -> int:
        """Count the features of an input of this shape."""
        ...

    @staticmethod
    def unit(input_shape: tuple[int, ...]) -> str:
        """What a radius counts on inputs of this shape, in the plural."""
        ...

    def draw(self, generator: np.random.Generator, num_samples: int) -> NDArray[Any]:
        """`(samples, features)`: what happens to each feature, as the encoding reads it."""
        ...

    def certify(
        self, tally: Tally, label: NDArray[np.int64], alpha: float, rule: str
    ) -> CertifiedRadius:
        """Radii in features; each is wrong with probability at most alpha."""
        ...

    def thresholds(self, rule: str, highest: float) -> NDArray[np.float64]:
        """What a confidence bound must exceed, by radius; rising.

        Args:
            rule: a bound on shares of ballots, under margin on leads.
            highest: bounds beyond it do not come up, so neither need thresholds.
        """
        ...

    def smallest_num_samples(self, radius: int, alpha: float, rule: str) -> int | None:
        """The fewest samples with which a unanimous vote certifies `radius` features."""
        ...


SampledDesign = UniformAblation | DiscreteNoise
AnyDesign = SampledDesign | Partitions
DESIGNS: dict[str, type[AnyDesign]] = {
    design.name: design for design in (UniformAblation, DiscreteNoise, Partitions)
}


def check_design(name: str) -> type[AnyDesign]:
    """The design of that name; raises `InputError` if there is none."""
    if name not in DESIGNS:
        raise InputError(f"expected design to be one of {', '.join(DESIGNS)}, got {name!r}")
    return DESIGNS[name]


def build_design(name: str, settings: Mapping[str, Any]) -> AnyDesign:
    """A design by name.

    Args:
        name: a key of `DESIGNS`.
        settings: the attributes of the design; others are passed over.

    Raises:
        InputError: for an unknown name, a missing setting or one out of range.
    """
    design = check_design(name)
    given: dict[str, Any] = {
        field.name: tuple(value) if isinstance(value, list) else value  # as JSON has it
        for field in fields(design)
        if (value := settings.get(field.name)) is not None
    }
    required = (field.name for field in fields(design) if field.default is MISSING)
    missing = [name for name in required if name not in given]
    if missing:
        raise InputError(f"the design {design.name} needs {' and '.join(missing)}")
    return design(**given)


def sampled(design: AnyDesign) -> SampledDesign:
    """The design, if it draws samples; raises `InputError` for a fixed family."""
    if isinstance(design, Partitions):
        raise InputError(
            f"expected a design that draws samples, got the fixed family {design}; it casts all "
            "its ballots"
        )
    return design


def check_sampled(design: object) -> None:
    """Raise `InputError`, with the way to go, for anything that does not draw samples."""
    if not isinstance(design, Design):
        raise InputError(
            "expected a design that draws samples, such as UniformAblation, got "
            f"{type(design).__name__}; for fixed families there are certify_ballots and "
            "FixedSmoothedClassifier"
        )


def check_rule_of(design: AnyDesign, rule: str) -> None:
    """Raise `InputError` for a rule that the design does not certify by."""
    if rule not in design.rules:
        raise InputError(
            f"expected one of the rules {', '.join(design.rules)}, by which the design "
            f"{design.name} certifies, got {rule!r}"
        )


def design_settings(design: AnyDesign) -> dict[str, Any]:
    """The inverse of `build_design`, with the name under "design"."""
    return {"design": design.name, **asdict(design)}
