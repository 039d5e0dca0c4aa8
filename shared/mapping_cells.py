"""Cells of a table, or texts of a payload, as values: times in formats and zones, numbers, words by a map."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.mapping_spec import NUMBERS, UNIX, Column

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMEMBERED_TIMES = 50_000
_SECOND = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_ISO_LIKE = {
    "%Y-%m-%dT%H:%M:%S": re.compile(_SECOND),
    "%Y-%m-%dT%H:%M:%S.%f": re.compile(_SECOND + r"\.([0-9]{3}|[0-9]{6})"),
}
Convert = Callable[[str], Any]


class Moment(str):
    """A cell that a spreadsheet knows to be a time, without a zone; as text it is ISO 8601."""

    at: datetime

    @classmethod
    def of(cls, at: datetime) -> Moment:
        made = cls((at.date() if at.time() == time() else at).isoformat())
        made.at = at
        return made

    def strip(self, chars: str | None = None, /) -> Moment:
        """It has no blanks around it, and stays what it is."""
        return self


class RowError(ValueError):
    """A row that cannot be mapped: `column` and `reason`, never the value."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
        self.reason = reason


def converted(column: str, convert: Convert | None, text: str, default: Any) -> Any:
    """What `text` becomes. Raises RowError that names the column."""
    if convert is None:
        return text
    try:
        value = convert(text)
    except (ValueError, OverflowError) as error:
        raise RowError(column, _WHY.get(type(convert), "does not fit")) from error
    if value is None and default is None:
        raise RowError(column, "is not in the map, which has no default")
    return default if value is None else value


class _Time:
    """Text in one of some formats and a zone to RFC 3339 with an offset; what was parsed is remembered.

    `in_utc` for what is a time to CQM, which says it in UTC; elsewhere the offset of the zone tells more.
    """

    def __init__(self, formats: tuple[str, ...], zone: str | None, *, in_utc: bool) -> None:
        self._formats, self._zone = formats, ZoneInfo(zone) if zone else None
        self._in_utc = in_utc
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _REMEMBERED_TIMES:
                self._known.clear()
            known = self._known[text] = _rfc3339(self._parsed(text), self._zone, self._in_utc)
        return known

    def _parsed(self, text: str) -> datetime:
        if isinstance(text, Moment):
            return text.at
        for format_ in self._formats:
            plain = _ISO_LIKE.get(format_)
            if plain is not None and plain.fullmatch(text):  # the same result, five times faster
                return datetime.fromisoformat(text)
            with suppress(ValueError, OverflowError):
                if format_ in UNIX:
                    return _EPOCH + timedelta(seconds=float(text) / UNIX[format_])
                return datetime.strptime(text, format_)  # noqa: DTZ007 - the zone follows
        raise ValueError("not in one of the formats")


def _rfc3339(at: datetime, zone: ZoneInfo | None, in_utc: bool) -> str:
    if at.tzinfo is None:
        if zone is None:
            raise ValueError("a time without a zone")
        at = at.replace(tzinfo=zone)
    offset = at.utcoffset() or timedelta()
    if in_utc or offset.seconds % 60:  # local mean times before 1900 are not in RFC 3339
        at = at.astimezone(UTC)
    return at.isoformat()


class _Number:
    """A finite number; whole ones as int."""

    def __call__(self, text: str) -> int | float:
        number = float(text)
        if not abs(number) < 1e15:
            raise ValueError("not finite")
        return int(number) if number == int(number) else number


_WHY: dict[type, str] = {_Time: "is not a time in the format of the mapping", _Number: "is not a number"}


def converter(target: str, column: Column) -> Convert | None:
    """How a text becomes the value of a field; None where it stays as it is."""
    if column.map is not None:
        return column.map.get
    if column.format is not None:
        return _Time(column.formats, column.zone, in_utc=target == "occurred_at")
    return _Number() if target in NUMBERS else None
