"""The vocabulary of import mappings, checked when a mapping is read (docs/policy.md, import mappings)."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.events import Channel, Kind, Language, Metric, Scalar, Severity, Touchpoint, Urgency

TARGETS = frozenset(
    {
        "external_id", "kind", "channel", "occurred_at", "language", "subject", "text", "order_id",
        "supplier_id", "touchpoint", "category", "severity", "urgency",
        "customer.id", "customer.tier", "customer.region",
        "customer.name", "customer.phone", "customer.email",
        "product.sku", "product.model", "product.batch",
        "rating.metric", "rating.score", "rating.scale_min", "rating.scale_max",
    }
)  # fmt: skip
_WORDS: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "channel": get_args(Channel),
    "language": get_args(Language),
    "touchpoint": get_args(Touchpoint),
    "severity": get_args(Severity),
    "urgency": get_args(Urgency),
    "rating.metric": get_args(Metric),
}


class Column(BaseModel):
    """Where a field comes from. `map` turns cells into values; `format` (strptime) reads a time."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    column: str = Field(min_length=1)
    map: dict[str, str] | None = None
    default: Scalar | None = None
    format: str | None = None
    zone: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.map is not None and self.format is not None:
            raise ValueError("a column has a map or a format, not both")
        if self.zone is not None and self.format is None:
            raise ValueError("a zone goes with a format")
        if self.format is not None and self.zone is None and "%z" not in self.format:
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
    columns: dict[str, Annotated[Column, BeforeValidator(_as_column)]] = Field(alias="fields", min_length=1)

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong beyond the shape, as (keys in the file, reason)."""
        targets = [("set", target) for target in self.constants]
        targets += [("fields", target) for target in self.columns]
        for section, target in targets:
            if target not in TARGETS and not (target.startswith("attributes.") and len(target) > 11):
                near = get_close_matches(target, TARGETS, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield (section, target), f"unknown feedback field{hint}"
            if section == "fields" and target in self.constants:
                yield (section, target), "stands under set, too"
        given = self.constants.keys() | self.columns.keys()
        if "kind" not in given:
            yield ("fields",), "kind is required, under set or fields"
        if not given & {"text", "subject", "rating.score"}:
            yield ("fields",), "one of text, subject, rating.score is required"
        for keys, target, value in self._words():
            if target in _WORDS and value not in _WORDS[target]:
                yield keys, f"{target} is one of {', '.join(filter(None, _WORDS[target]))}"

    def _words(self) -> Iterator[tuple[tuple[str, ...], str, Scalar]]:
        """Every constant, mapped value and default, with its place and field."""
        for target, constant in self.constants.items():
            yield ("set", target), target, constant
        for target, column in self.columns.items():
            for cell, value in (column.map or {}).items():
                yield ("fields", target, "map", cell), target, value
            if column.default not in (None, ""):
                yield ("fields", target, "default"), target, column.default
