"""Spans of time as a policy writes them: `10s`, `30m`, `8h`, `2d`, `2bd`, `75%` (docs/policy.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from shared.calendar import Calendar

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 366 * 86_400


class _Written:
    """A value that a policy writes as a short string; subclasses say the pattern and how to read it."""

    pattern: ClassVar[str]
    reason: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        raise NotImplementedError

    @classmethod
    def _validate(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str) or re.fullmatch(cls.pattern, value) is None:
            raise ValueError(cls.reason)
        return cls.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^{cls.pattern}$", "description": cls.reason}


def _seconds(text: str) -> int:
    seconds = int(text[:-1]) * _SECONDS[text[-1]]
    if seconds > _LONGEST:
        raise ValueError("a duration is at most 366 days")
    return seconds


@dataclass(frozen=True, slots=True)
class Wall(_Written):
    """Time as it passes, in seconds."""

    pattern: ClassVar[str] = "[0-9]{1,8}[smhd]"
    reason: ClassVar[str] = "a duration is written 10s, 30m, 8h or 2d (bd only where business time counts)"
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(_seconds(text))

    def __str__(self) -> str:
        """As a policy writes it, in the largest unit that is whole."""
        unit = next(unit for unit in "dhms" if self.seconds % _SECONDS[unit] == 0)
        return f"{self.seconds // _SECONDS[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Business(_Written):
    """Working time of a calendar: plain seconds, or a number of its days."""

    pattern: ClassVar[str] = "[0-9]{1,8}([smhd]|bd)"
    reason: ClassVar[str] = "a duration is written 10s, 30m, 8h, 2d or 2bd"
    seconds: int = 0
    days: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        if not text.endswith("bd"):
            return cls(seconds=_seconds(text))
        if int(text[:-2]) > 366:
            raise ValueError("a duration is at most 366 days")
        return cls(days=int(text[:-2]))

    def on(self, calendar: Calendar) -> int:
        """Business seconds by a calendar; one `bd` is its `day_seconds`."""
        return self.seconds + self.days * calendar.day_seconds


@dataclass(frozen=True, slots=True)
class Percent(_Written):
    """A part of a target; over 100 lies after its due."""

    pattern: ClassVar[str] = "[0-9]{1,4}%"
    reason: ClassVar[str] = "a part of the target is written 75%"
    value: int

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(int(text[:-1]))

    def of(self, seconds: int) -> int:
        """That part of a target in whole seconds, rounded up so that a step is never early."""
        return -(-seconds * self.value // 100)


def _day_length(value: Any) -> int:
    wall = Wall._validate(value)
    if not 0 < wall.seconds <= 86_400:
        raise ValueError("a business day is longer than zero and at most 24h")
    return wall.seconds


class _DayLength:
    """`day: 8h` of a calendar as seconds."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_day_length)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^{Wall.pattern}$", "description": "length of one business day"}


DayLength = Annotated[int, _DayLength]
