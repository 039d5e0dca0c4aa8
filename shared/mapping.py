"""Import mappings: which column of a table becomes which field of a feedback (deploy/mappings/NAME.yaml).

A mapping is read and checked once (`load_mapping`), then `for_header` makes a function that turns each row
into the JSON body of POST /v1/feedback. What it may hold is checked again by intake, as for any sender.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from shared.errors import SetupError
from shared.mapping_cells import Convert, RowError, converted, converter
from shared.mapping_spec import MappingSpec
from shared.policy.source import Source, read_contents

__all__ = [
    "Mapping", "MappingError", "Part", "Row", "RowError", "Slot", "find_mapping", "load_mapping",
    "mapping_of",
]  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Row = Sequence[str]
S = TypeVar("S", bound=MappingSpec)


class MappingError(SetupError):
    """A mapping that cannot be used: not found, wrong in itself, or for columns that a file lacks."""


class Slot(NamedTuple):
    """A field that comes from a column, which stands at `place` in a row."""

    field: str
    place: int
    column: str
    default: Any
    convert: Convert | None

    def value(self, cell: str) -> Any:
        """What a cell says, without the blanks around; None where the field is left out. Raises RowError."""
        text = cell.strip()
        if not text:
            value = self.default
        elif self.convert is None:
            return text
        else:
            value = converted(self.column, self.convert, text, self.default)
        return None if value == "" else value


class Part(NamedTuple):
    """One object of the body: what it always has, and the fields that come from columns."""

    constants: dict[str, Any]
    slots: list[Slot]

    def fill(self, row: Row) -> dict[str, Any]:
        """Raises RowError, and IndexError for a row that is too short."""
        values = self.constants.copy()
        for slot in self.slots:
            value = slot.value(row[slot.place])
            if value is not None:
                values[slot.field] = value
        return values


class Mapping:
    """A checked mapping. Not for use by several threads at a time: it remembers parsed times."""

    def __init__(self, spec: MappingSpec) -> None:
        self.source = spec.source
        self._spec = spec
        self._converters = {target: converter(target, column) for target, column in spec.columns.items()}
        self.columns = frozenset(column.column for column in spec.columns.values())

    def check_columns(self, header: Iterable[str]) -> None:
        """Raises MappingError naming every column that the file lacks, or has twice."""
        header = list(header)
        if missing := sorted(self.columns.difference(header)):
            raise MappingError(f"the file has no column {', '.join(missing)}")
        if twice := sorted(column for column in self.columns if header.count(column) > 1):
            raise MappingError(f"the file has two columns of the name {', '.join(twice)}")

    def column_of(self, target: str) -> str | None:
        """The column from which a field comes, None where none does."""
        column = self._spec.columns.get(target)
        return column.column if column else None

    def for_header(self, header: Sequence[str]) -> Callable[[Row], dict[str, Any]]:
        """Rows of a table with this header become JSON bodies; raises MappingError as `check_columns` does.

        An empty cell without a default is left out; `default: ""` leaves out what a map does not name. The
        function raises RowError for a row that cannot be mapped.
        """
        self.check_columns(header)
        parts = self.parts(header)
        whole = parts.pop("")

        def apply(row: Row) -> dict[str, Any]:
            try:
                body = whole.fill(row)
                for group, part in parts.items():
                    if values := part.fill(row):
                        body[group] = values
            except IndexError:
                lacking = next(column for column in header[len(row) :] if column in self.columns)
                raise RowError(lacking, "the row has no such column") from None
            return body

        return apply

    def parts(self, header: Sequence[str]) -> dict[str, Part]:
        """The objects of the body by name; "" is the body itself."""
        parts: dict[str, Part] = {"": Part({}, [])}
        for target, constant in {"source": self.source, **self._spec.constants}.items():
            group, field = split_target(target)
            parts.setdefault(group, Part({}, [])).constants[field] = constant
        for target, column in self._spec.columns.items():
            group, field = split_target(target)
            place = header.index(column.column)
            slot = Slot(field, place, column.column, column.default, self._converters[target])
            parts.setdefault(group, Part({}, [])).slots.append(slot)
        return parts


def find_mapping(name: str, folder: Path) -> bytes:
    """The content of NAME.yaml in `folder`. Raises MappingError that lists the names there are."""
    file = folder / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or "none"
        raise MappingError(f"there is no mapping of this name; mappings by name: {known}")
    return file.read_bytes()


def mapping_of(content: bytes, file: str) -> Mapping:
    """The mapping that YAML says. Raises MappingError with `file`, line and reason of all that is wrong."""
    return Mapping(spec_of(content, file, MappingSpec))


def spec_of(content: bytes, file: str, kind: type[S]) -> S:
    """The checked specification of a kind of mapping. Raises MappingError as `mapping_of` does."""
    source = read_contents({file: content})
    if not source.findings:
        try:
            spec = kind.model_validate(source.data)
        except ValidationError as error:
            _report(error, source)
        else:
            for keys, reason in spec.problems():
                source.report(keys, reason)
            if not source.findings:
                return spec
    raise MappingError("\n".join(map(str, source.findings)))


def load_mapping(name: str, folder: Path) -> Mapping:
    """NAME.yaml of `folder`. Raises MappingError."""
    return mapping_of(find_mapping(name, folder), f"{name}.yaml")


def _report(error: ValidationError, source: Source) -> None:
    """Findings, with their lines, for what pydantic found."""
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        reasons = {"extra_forbidden": "unknown key", "missing": "is missing"}
        reason = reasons.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        source.report([step for step in problem["loc"] if step != "[key]"], reason)


def split_target(target: str) -> tuple[str, str]:
    """`customer.region` as group and name; attributes keep the dots after the first."""
    group, dot, name = target.partition(".")
    return (group, name) if dot else ("", target)
