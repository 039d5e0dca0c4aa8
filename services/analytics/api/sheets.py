"""Figures and their records as sheets: columns of one kind each, and rows that come some at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from services.analytics.api.answering import Answers, Figure
from services.analytics.api.records import record_of
from services.analytics.domain.catalogue import Kpi
from services.analytics.domain.figures import Question
from shared.clock import rfc3339
from shared.principal import Principal

Cell = str | int | float | datetime | None
Rows = list[tuple[Cell, ...]]
ROWS_AT_ONCE = 1000


class Column(NamedTuple):
    """A column; `number` is a 64-bit float, `integer` a 64-bit integer, `time` a moment in UTC."""

    name: str
    kind: Literal["text", "integer", "number", "time", "flag"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """`about` says in words what the rows belong to; `as_of`, up to when all partitions are in them."""

    name: str
    columns: Sequence[Column]
    rows: AsyncGenerator[Rows]
    about: Mapping[str, str]
    as_of: datetime | None


_OF_A_POINT = (
    Column("start", "time"), Column("value", "number"), Column("n", "integer"),
    Column("numerator", "integer"), Column("denominator", "integer"), Column("provisional", "flag"),
)  # fmt: skip
_OF_A_RECORD = (
    Column("id", "text"), Column("fact", "text"), Column("at", "time"), Column("n", "integer"),
    Column("numerator", "integer"), Column("seconds", "integer"),
)  # fmt: skip


def sheet_of_figure(figure: Figure, question: Question) -> Sheet:
    """A row for each point of the series, in the order of the answer."""
    columns = (*(Column(name, "text") for name in question.by), *_OF_A_POINT)
    return Sheet(figure.name, columns, _points(figure), _about(question, figure.as_of), figure.as_of)


async def sheet_of_records(answers: Answers, question: Question, who: Principal) -> Sheet:
    """A row for each record as `who` may see it, as of one moment: read them within the minutes that MongoDB
    keeps it for."""
    dimensions = [name for name in question.kpi.dimensions if name != question.kpi.part]
    columns = (*_OF_A_RECORD, *(Column(name, "text") for name in dimensions))
    as_of = await answers.as_of(question.kpi)
    rows = _records(answers, question, who, dimensions)
    return Sheet(f"{question.kpi.name}.records", columns, rows, _about(question, as_of), as_of)


def _about(question: Question, as_of: datetime | None) -> dict[str, str]:
    kpi: Kpi = question.kpi
    return {
        "name": kpi.name,
        "unit": kpi.unit,
        "zone": question.zone.key,
        "from": rfc3339(question.begin),
        "to": rfc3339(question.end),
        "as_of": rfc3339(as_of) if as_of else "",
        **{f"definition.{language}": text for language, text in kpi.definition.items()},
    }


async def _points(figure: Figure) -> AsyncGenerator[Rows]:
    some: Rows = []
    for series in figure.series:
        key = tuple(series.key.values())
        for point in series.points:
            some.append((
                *key, point.start, point.value, point.n, point.numerator, point.denominator, point.provisional
            ))  # fmt: skip
            if len(some) == ROWS_AT_ONCE:
                yield some
                some = []
    yield some


async def _records(
    answers: Answers, question: Question, who: Principal, dimensions: Sequence[str]
) -> AsyncGenerator[Rows]:
    async with (
        answers.figures.snapshot() as session,
        aclosing(answers.evidence.records(question, None, ROWS_AT_ONCE, session)) as records,
    ):
        async for some in records:
            found = [record for one in some if (record := record_of(question, one, who))]
            yield [
                (one.id, one.kind, one.at, one.n, one.numerator, one.seconds,
                 *(one.labels.get(name, "") for name in dimensions))
                for one in found
            ]  # fmt: skip
