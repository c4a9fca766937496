"""The circles of a finite plane: a fixed family in which any two features share equally many sets.

Let F be the field of q elements, and f(u, v) = u^2 + u v + c v^2 with a c for which t^2 + t + c has
no root in F, so that f is 0 at (0, 0) only. Features are points (x, y) of F^2. For every a, b and e
in F a circle is the set

    T_{a,b,e} = {(x, y) : f(x, y) + a x + b y = e}.

Circles of fewer than two features are left out.

Statement. Any two features are together in exactly q circles, and any three in at most one.

Proof. Different points P and Q are both in T_{a,b,e} for some e if
f(P) - f(Q) + a (x_P - x_Q) + b (y_P - y_Q) = 0, a linear equation for (a, b) that is not trivial:
it has q solutions, and each has one e. A third point R gives a second equation. If P, Q and R are
not on a line, the two are independent and have one solution. On the line P + s w, where w is not
(0, 0), the left side of a circle's equation is a polynomial in s with leading term f(w) s^2, not 0,
so it has at most two roots: no three points of a line are on a circle. Leaving out points or
circles of fewer than two of them changes none of that.  QED

With all q^2 points there are q^2 (q - 1) circles of q + 1 points each, and each point is in
q^2 - 1 of them: for every a, b the q values of e split the plane into one single point, which is
left out, and q - 1 such circles. It is the inversive plane of order q (Dembowski 1968, chapter 6)
without one point and the circles through that.

So rho features touch at most rho (q^2 - 1) - q C(rho, 2) + C(rho, 3) of q^2 (q - 1) ballots
(`theory.coverage`, overlap bound, i = 2): hardly more than the share Delta(d, k, rho) that random
ablation pays for k = q + 1 of d = q^2, and nothing is left to chance. No line has three points of a
circle, so where an image fits into the plane, no set has three pixels of a row or of a column: sets
are spread over it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsecert.designs.design import option
from sparsecert.designs.family import FamilyDesign, FixedAblation
from sparsecert.errors import InputError, as_integer

_MOST_PLACES = 2**28  # of all sets in inputs
_MOST_ORDER = 128


def inversive_circles(shape: int | tuple[int, int], order: int) -> FixedAblation:
    """The circles of the plane of that order, whose points are features.

    A pixel's point is its row and column where the image is no larger than the plane; else, and of
    vectors, entry i is the point (i // q, i % q).

    Args:
        shape: height and width of images, or the length of vectors.
        order: q, a prime or a power of 2, with at least as many points q^2 as features.

    Returns:
        At most q^2 (q - 1) sets of at most q + 1 features, ordered by a, b and e.

    Raises:
        InputError: for another order, fewer than two features, or more than points.
    """
    order = _checked_order(order)
    if np.shape(shape) not in ((), (2,)):
        raise InputError(f"expected shape as height and width, or a length, got {shape!r}")
    sides = [as_integer(side, "a side of the input") for side in np.atleast_1d(shape)]
    size = math.prod(sides)
    if min(sides) < 1 or not 2 <= size <= order**2:
        raise InputError(
            f"expected order q with q * q >= {size}, the number of features, and at least 2 "
            f"features, got {order}"
        )
    if order**3 * size > _MOST_PLACES:
        raise InputError(f"expected fewer circles than {order**3} of {size} features")
    fits = len(sides) == 2 and max(sides) <= order
    x, y = np.divmod(np.arange(size), sides[-1] if fits else order)
    add, multiply = field_tables(order)
    elements = np.arange(order)
    # t^2 + t takes every value at most twice, so some c is not minus any of them.
    squares = add[multiply[elements, elements], elements]
    c = next(c for c in elements if (add[squares, c] != 0).all())
    form = add[add[multiply[x, x], multiply[x, y]], multiply[c, multiply[y, y]]]
    linear = add[multiply[:, x][:, None, :], multiply[:, y][None, :, :]].reshape(order**2, -1)
    value = add[form, linear]
    sets = (value[:, None, :] == elements[:, None]).reshape(order**3, -1)
    image_shape = (sides[0], sides[1]) if len(sides) == 2 else None
    return FixedAblation(sets[sets.sum(axis=1) > 1], image_shape)


def field_tables(order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`(order, order)` sums and products in the field of a prime or a power of 2 elements.

    Elements of the latter are polynomials over the field of two, their coefficients binary digits,
    modulo the first polynomial for which no product of two others is 0.

    Raises:
        InputError: for another order.
    """
    order = _checked_order(order)
    one, other = np.indices((order, order))
    if order % 2 or order == 2:
        return (one + other) % order, one * other % order
    degree = order.bit_length() - 1
    for modulus in range(order, 2 * order):
        product = np.zeros_like(one)
        shifted = one.copy()
        for digit in range(degree):
            product ^= shifted * (other >> digit & 1)
            shifted <<= 1
            shifted ^= modulus * (shifted >> degree)
        if product[1:, 1:].all():
            return one ^ other, product
    raise AssertionError("there is a field of every power of 2")


def _checked_order(order: int) -> int:
    q = as_integer(order, "order")
    is_prime = q > 1 and all(q % divisor for divisor in range(2, math.isqrt(max(q, 0)) + 1))
    if not (is_prime or (q > 1 and q & (q - 1) == 0)) or q > _MOST_ORDER:
        raise InputError(
            f"expected order to be a prime or a power of 2, up to {_MOST_ORDER}, got {order}"
        )
    return q


@dataclass(frozen=True)
class InversivePlane(FamilyDesign):
    """The circles of a finite plane, whose points are pixels or columns; one ballot per circle.

    Attributes:
        num_features: d, at most q^2; a pixel is one feature, whatever its channels.
        order: q, a prime or a power of 2: about d / q features are retained, and about q^3 ballots
            are cast.
        image_shape: height and width; None for feature vectors.

    Raises:
        InputError: for another order, or more features than points.
    """

    num_features: int
    order: int = option(
        "order", "q, a prime or a power of 2 with q * q >= d: about d / q units are retained."
    )
    image_shape: tuple[int, int] | None = None
    name: ClassVar[str] = "inversive"
    architecture: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for name in ("num_features", "order"):
            object.__setattr__(self, name, as_integer(getattr(self, name), name))
        _ = self.ablation  # says what is wrong with the numbers

    def __str__(self) -> str:
        return f"{self.ablation.num_sets} circles (order {self.order}) of {self.num_features}"

    @cached_property
    def ablation(self) -> FixedAblation:
        """The family."""
        return inversive_circles(self.image_shape or self.num_features, self.order)
