"""The vocabulary of import mappings, checked when a mapping is read (docs/imports.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Map
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.events import ActivityKind, Channel, Kind, Language, Metric, Scalar, Severity, Touchpoint, Urgency

_ATTRIBUTE = re.compile(r"(?!__)[A-Za-z0-9_-]{1,64}")


class Vocabulary(NamedTuple):
    """What may be said of a signal: its fields, words that some of them are limited to, and of which fields
    one has to be given (none: no field)."""

    signal: str
    targets: frozenset[str]
    words: Map[str, tuple[str, ...]]
    content: tuple[str, ...]


_OF_BOTH = frozenset(
    {
        "external_id", "kind", "occurred_at", "supplier_id",
        "customer.id", "customer.tier", "customer.region",
        "customer.name", "customer.phone", "customer.email",
        "product.sku", "product.model", "product.batch",
    }
)  # fmt: skip
TARGETS = _OF_BOTH | {
    "channel", "language", "subject", "text", "order_id", "touchpoint", "category", "severity", "urgency",
    "rating.metric", "rating.score", "rating.scale_min", "rating.scale_max",
}  # fmt: skip
NUMBERS = frozenset({"rating.score", "rating.scale_min", "rating.scale_max", "quantity"})
_WORDS: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "channel": get_args(Channel),
    "language": get_args(Language),
    "touchpoint": get_args(Touchpoint),
    "severity": get_args(Severity),
    "urgency": get_args(Urgency),
    "rating.metric": get_args(Metric),
}
FEEDBACK = Vocabulary("feedback", TARGETS, _WORDS, ("text", "subject", "rating.score"))
ACTIVITY = Vocabulary("activity", _OF_BOTH | {"department", "quantity"}, {"kind": get_args(ActivityKind)}, ())
UNIX = {"unix": 1, "unix_ms": 1000}
"""Formats of times that are numbers: seconds or milliseconds since 1970."""


_SOME_TIME = datetime(2001, 2, 3, 16, 5, 6, 7, tzinfo=UTC)


def _check_format(format_: str) -> None:
    """By reading a time that was written in it. Raises ValueError.

    strptime says of a wrong format only when it is used, and of a directive that stands twice by re.error,
    which no row may meet.
    """
    if format_ in UNIX:
        return
    try:
        datetime.strptime(_SOME_TIME.strftime(format_), format_)  # noqa: DTZ007 - only whether it can be
    except (ValueError, re.error) as error:
        raise ValueError(f"format is none of strptime that can be read: {error}") from error


class Column(BaseModel):
    """Where a field comes from. `map` turns cells into values; `format` (strptime) reads a time, and is one
    format, or several, of which the first that fits is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    column: str = Field(min_length=1)
    map: dict[str, str] | None = None
    default: Scalar | None = None
    format: str | Annotated[list[str], Field(min_length=1, max_length=10)] | None = None
    zone: str | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        return (self.format,) if isinstance(self.format, str) else tuple(self.format or ())

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.map is not None and self.format is not None:
            raise ValueError("a column has a map or a format, not both")
        if self.zone is not None and self.format is None:
            raise ValueError("a zone goes with a format")
        for format_ in self.formats:
            _check_format(format_)
        if self.zone is None and not all("%z" in format_ or format_ in UNIX for format_ in self.formats):
            raise ValueError("a format without %z needs a zone")
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError("zone is not in the IANA time zone database") from error
        return self


def _as_column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


class MappingSpec(BaseModel):
    """A whole mapping file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    source: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$")
    constants: dict[str, Scalar] = Field(default={}, alias="set")
    columns: Map[str, Annotated[Column, BeforeValidator(_as_column)]] = Field(alias="fields", min_length=1)

    @property
    def vocabulary(self) -> Vocabulary:
        """What a table's rows are."""
        return FEEDBACK

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong beyond the shape, as (keys in the file, reason)."""
        signal, known, words, content = self.vocabulary
        targets = [("set", target) for target in self.constants]
        targets += [("fields", target) for target in self.columns]
        for section, target in targets:
            if target.startswith("attributes."):
                if not _ATTRIBUTE.fullmatch(target.removeprefix("attributes.")):
                    yield (
                        (section, target),
                        "an attribute has 1 to 64 letters, digits, _ or -, not __ first",
                    )
            elif target not in known:
                near = get_close_matches(target, known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield (section, target), f"unknown {signal} field{hint}"
            if section == "fields" and target in self.constants:
                yield (section, target), "stands under set, too"
        given = self.constants.keys() | self.columns.keys()
        if "kind" not in given:
            yield ("fields",), "kind is required, under set or fields"
        if content and given.isdisjoint(content):
            yield ("fields",), f"one of {', '.join(content)} is required"
        for keys, target, value in self._words():
            if target in words and value not in words[target]:
                yield keys, f"{target} is one of {', '.join(filter(None, words[target]))}"

    def _words(self) -> Iterator[tuple[tuple[str, ...], str, Scalar]]:
        """Every constant, mapped value and default, with its place and field."""
        for target, constant in self.constants.items():
            yield ("set", target), target, constant
        for target, column in self.columns.items():
            for cell, value in (column.map or {}).items():
                yield ("fields", target, "map", cell), target, value
            if column.default not in (None, ""):
                yield ("fields", target, "default"), target, column.default
