"""What msgspec found wrong with a leaf, in words that name the limit and never the value."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

_EXPECTED = re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`")
_LENGTH = re.compile(r"Expected `(\w+)` of length <= (\d+)")
_RANGE = re.compile(r"Expected `\w+` ([<>])= (-?\d+)")
_PATTERN = re.compile(r"Expected `str` matching regex '(.*)'")
_TIME = "must be an RFC 3339 time with an offset, as in 2026-03-02T09:00:00+08:00"
_JSON_TYPES = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}


def of_leaf(error: str, kind: Any) -> tuple[str, int | str | None]:
    """Message and limit for the text of a msgspec.ValidationError about a value that should be of `kind`."""
    if found := _EXPECTED.match(error):
        return f"must be {_types(found[1])}, not {found[2]}", None
    if found := _LENGTH.match(error):
        unit = "characters" if found[1] == "str" else "entries"
        return f"has more than {found[2]} {unit}", int(found[2])
    if found := _RANGE.match(error):
        return f"is too {'large' if found[1] == '<' else 'small'}", int(found[2])
    if found := _PATTERN.match(error):
        return "the name is not allowed", found[1]
    if error.startswith("Invalid enum value"):
        return "is none of the values allowed", ", ".join(_literals(kind))
    if "RFC3339" in error or "timezone" in error:
        return _TIME, None
    return ("is a number out of range", None) if "out of range" in error else ("does not fit", None)


def _types(names: str) -> str:
    """`bool | int | str` as a person says it; datetimes are written as text."""
    words = [_JSON_TYPES.get(name, f"an {name}" if name == "object" else name) for name in names.split(" | ")]
    return " or ".join(words).replace("datetime", "an RFC 3339 time")


def _literals(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [value for value in get_args(kind) if value]
    return [value for part in get_args(kind) for value in _literals(part)]
