"""Import mappings: which column of a table becomes which field of a feedback (deploy/mappings/NAME.yaml).

A mapping is read and checked once (`load_mapping`), then `apply` turns each row into the JSON body of
POST /v1/feedback. What the body may hold is checked again by intake, as for any sender.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Map
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from shared.errors import SetupError
from shared.mapping_spec import Column, MappingSpec
from shared.policy.source import Source, read_source

__all__ = ["Mapping", "MappingError", "RowError", "load_mapping"]

_REMEMBERED_TIMES = 50_000
_SECOND = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_ISO_LIKE = {
    "%Y-%m-%dT%H:%M:%S": re.compile(_SECOND),
    "%Y-%m-%dT%H:%M:%S.%f": re.compile(_SECOND + r"\.([0-9]{3}|[0-9]{6})"),
}
Convert = Callable[[str], Any]


class MappingError(SetupError):
    """A mapping that cannot be used: not found, wrong in itself, or for columns that a file lacks."""


class RowError(ValueError):
    """A row that cannot be mapped: `column` and `reason`, never the value."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
        self.reason = reason


class Mapping:
    """A checked mapping. Not for use by several threads at a time: it remembers parsed times."""

    def __init__(self, spec: MappingSpec) -> None:
        self.source = spec.source
        constants = {"source": spec.source, **spec.constants}
        self._constants = [(*_split(target), value) for target, value in constants.items()]
        self._columns = [
            (column.column, *_split(target), column.default, _converter(target, column))
            for target, column in spec.columns.items()
        ]
        self.columns = frozenset(column.column for column in spec.columns.values())

    def check_columns(self, header: Iterable[str]) -> None:
        """Raises MappingError naming every column that the file lacks."""
        missing = sorted(self.columns.difference(header))
        if missing:
            raise MappingError(f"the file has no column {', '.join(missing)}")

    def apply(self, row: Map[str, str | None]) -> dict[str, Any]:
        """JSON body for POST /v1/feedback; an empty cell without a default is left out. Raises RowError.

        `default: ""` leaves out what the map does not name.
        """
        body: dict[str, Any] = {}
        for group, name, constant in self._constants:
            (body.setdefault(group, {}) if group else body)[name] = constant
        for column, group, name, default, convert in self._columns:
            cell = row.get(column)
            if cell is None:
                raise RowError(column, "the row has no such column")
            text = cell.strip()
            value: Any = _converted(column, convert, text, default) if text else default
            if value is not None and value != "":
                (body.setdefault(group, {}) if group else body)[name] = value
        return body


def load_mapping(name: str, folder: Path) -> Mapping:
    """By name (`nyc311`, NAME.yaml in `folder`) or by file (`./my.yaml`). Raises MappingError."""
    is_file = "/" in name or name.endswith((".yaml", ".yml"))
    file = Path(name) if is_file else folder / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or "none"
        raise MappingError(f"no mapping {file if is_file else repr(name)}; mappings by name: {known}")
    source = read_source([file])
    if not source.findings:
        try:
            spec = MappingSpec.model_validate(source.data)
        except ValidationError as error:
            _report(error, source)
        else:
            for keys, reason in spec.problems():
                source.report(keys, reason)
            if not source.findings:
                return Mapping(spec)
    raise MappingError("\n".join(map(str, source.findings)))


def _report(error: ValidationError, source: Source) -> None:
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        reasons = {"extra_forbidden": "unknown key", "missing": "is missing"}
        reason = reasons.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        source.report([step for step in problem["loc"] if step != "[key]"], reason)


def _split(target: str) -> tuple[str, str]:
    """`customer.region` as group and name; attributes keep the dots after the first."""
    group, dot, name = target.partition(".")
    return (group, name) if dot else ("", target)


def _converted(column: str, convert: Convert | None, text: str, default: Any) -> Any:
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
    """Text in a format and a zone to RFC 3339 with an offset; what was parsed is remembered."""

    def __init__(self, format_: str, zone: str | None) -> None:
        self._format, self._zone = format_, ZoneInfo(zone) if zone else None
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _REMEMBERED_TIMES:
                self._known.clear()
            known = self._known[text] = self._parsed(text)
        return known

    def _parsed(self, text: str) -> str:
        plain = _ISO_LIKE.get(self._format)
        if plain is not None and plain.fullmatch(text):  # the same result, five times faster
            at = datetime.fromisoformat(text)
        else:
            at = datetime.strptime(text, self._format)  # noqa: DTZ007 - the zone follows
        if at.tzinfo is None:
            at = at.replace(tzinfo=self._zone)
        offset = at.utcoffset()
        if offset is not None and offset.seconds % 60:  # local mean times before 1900: not in RFC 3339
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


def _converter(target: str, column: Column) -> Convert | None:
    if column.map is not None:
        return column.map.get
    if column.format is not None:
        return _Time(column.format, column.zone)
    return _Number() if target.startswith("rating.") and target != "rating.metric" else None
