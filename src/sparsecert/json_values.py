"""JSON that others may have written: of a bounded size, and every value of its type."""

from __future__ import annotations

import json
import reprlib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sparsecert.errors import InputError

_MOST_BYTES = 2**24  # which Python may hold in thirty times the room
_LARGEST = 2**128  # as large as seeds are
_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "a text",
    tuple: "a list",
}

T = TypeVar("T")


def read_object(path: Path) -> dict[str, Any]:
    """The values of a JSON object in a file.

    Raises:
        InputError: for anything but a file with one JSON object, of at most 16 MiB.
    """
    try:
        if not path.is_file():  # a pipe, or a device that has no end
            raise InputError("it is no file")
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"it has more than {_MOST_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(str(error)) from error
    if not isinstance(values, dict):
        raise InputError(f"expected a JSON object, got {reprlib.repr(values)}")
    return values


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from its fields' values; see `fields_of`."""
    return kind(**fields_of(kind, values))


def fields_of(kind: type[Any], values: Mapping[str, Any], **ready: Any) -> dict[str, Any]:
    """The values of a dataclass's fields, each of its type, lists as tuples.

    Args:
        kind: the dataclass.
        values: by name; what is no field is passed over, and what is missing has its default.
        ready: fields that are at hand.

    Raises:
        InputError: for a value of another type, or a missing one without a default.
    """
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind) if field.name in values]
    given = {n: as_type(hints[n], values[n], n) for n in names if n not in ready} | ready
    if missing := [f.name for f in fields(kind) if _is_needed(f) and f.name not in given]:
        raise InputError(f"expected {' and '.join(missing)}, got none")
    return given


def check_types(values: Any, hints: Mapping[str, Any], name: str) -> None:
    """Raise `InputError` unless an object has values of these types, and objects in it too.

    Args:
        values: as JSON has them.
        hints: as `as_type` takes them, by name; a mapping for an object.
        name: of the values, for messages.
    """
    if not isinstance(values, dict):
        raise InputError(f"expected {name} as an object, got {reprlib.repr(values)}")
    if missing := sorted(set(hints) - set(values)):
        raise InputError(f"it lacks {', '.join(missing)}")
    for key, hint in hints.items():
        check = check_types if isinstance(hint, Mapping) else _check_type
        check(values[key], hint, key)


def _check_type(value: Any, hint: Any, name: str) -> None:
    as_type(hint, value, name)


def as_type(hint: Any, value: Any, name: str) -> Any:
    """The value, if it is of this type; lists become tuples, objects dataclasses.

    Args:
        hint: str, int, float, bool, a `Literal` of texts, a tuple of such, a dataclass; or one of
            these or None.
        value: as JSON has it.
        name: for messages.

    Raises:
        InputError: for a value of another type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        hint = next(arm for arm in inner if arm is not type(None))
        return as_type(hint, value, name)
    if origin is Literal and isinstance(value, str) and value in inner:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        arms = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(arms) == len(value):
            return tuple(as_type(arm, v, name) for arm, v in zip(arms, value, strict=True))
    if is_dataclass(hint) and isinstance(value, dict):
        if unknown := set(value) - {field.name for field in fields(hint)}:
            raise InputError(f"expected {name} without {reprlib.repr(sorted(unknown))}")
        return build(hint, value)  # type: ignore[arg-type]
    if hint in (str, bool) and isinstance(value, hint):
        return value
    is_number = hint in (int, float) and isinstance(value, int | hint)
    if is_number and not isinstance(value, bool) and abs(value) < _LARGEST:  # NaN is not
        return value
    words = f"one of {', '.join(inner)}" if origin is Literal else _WORDS.get(origin or hint)
    raise InputError(f"expected {name} as {words or 'an object'}, got {reprlib.repr(value)}")


def _is_needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
