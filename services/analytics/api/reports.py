"""Reports: the efficiency of departments and of owners, and what the defects are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from services.analytics.api.answering import Answers, json_answer
from services.analytics.api.cursors import LONGEST, cursor, place_of
from services.analytics.api.questions import MOST_POINTS, Parameters, Span, refuse
from services.analytics.domain.catalogue import KPIS, SpanClock
from services.analytics.domain.figures import Counted, Point
from services.analytics.domain.reports import COMMON, EFFICIENCY, Bar, Column, pareto
from shared.mongo import Session
from shared.principal import Principal
from shared.query import only

MOST_ROWS = 200


class PeriodParameters(Span):
    """The period, and what of it."""

    filter: list[str] = Field([], max_length=50, description="dimension:value, repeated")
    limit: int = Field(MOST_ROWS, ge=1, le=MOST_ROWS)
    cursor: str | None = Field(None, max_length=LONGEST)


class EfficiencyParameters(PeriodParameters):
    clock: SpanClock | None = Field(None, description="of the columns that are times; business without it")


class ParetoParameters(PeriodParameters):
    by: Literal["category", "product_model", "product_batch", "supplier"] = "category"


@dataclass(frozen=True, slots=True)
class Heading:
    """A column: `GET /v1/kpis/{kpi}` with the parameters of `query` answers its figures."""

    name: str
    title: Mapping[str, str]
    kpi: str
    unit: str
    direction: str
    query: dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one department or owner by the names of the columns."""

    key: dict[str, str]
    figures: dict[str, Point]


@dataclass(frozen=True, slots=True)
class Efficiency:
    """`total` is that of everything in the report, not of the page alone."""

    by: str
    zone: str
    as_of: datetime | None
    columns: list[Heading]
    total: dict[str, Point]
    items: list[Line]
    next: str | None


@dataclass(frozen=True, slots=True)
class Pareto:
    """The values of `by`, the most frequent first; `total` is the KPI's."""

    kpi: str
    by: str
    zone: str
    as_of: datetime | None
    total: Point
    items: list[Bar]
    next: str | None


class Figures(NamedTuple):
    """One column of a report: its total, what it says of each key, and of a key of which nothing counts."""

    total: Point
    by_key: dict[str, Point]
    nothing: Point


def report_routes(answers: Answers, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1/reports", tags=["reports"], route_class=guard)
    reports = Reports(answers)

    def efficiency_of(by: str, path: str, said: str) -> None:
        @router.get(
            path,
            summary=said,
            responses={200: {"model": Efficiency}},
            dependencies=[Depends(only(EfficiencyParameters, ("filter",)))],
            name=f"efficiency_of_{by}s",
        )
        async def report(parameters: Annotated[EfficiencyParameters, Query()], request: Request) -> Response:
            return json_answer(await reports.efficiency(by, parameters, request.state.principal))

    efficiency_of("department", "/departments", "What each department had to do, did, and how well")
    efficiency_of("owner", "/owners", "The same for each owner; agents see their own line")

    @router.get(
        "/defects",
        responses={200: {"model": Pareto}},
        dependencies=[Depends(only(ParetoParameters, ("filter",)))],
    )
    async def defects(parameters: Annotated[ParetoParameters, Query()], request: Request) -> Response:
        """What defects are about, the most frequent first, with cumulative shares."""
        return json_answer(await reports.pareto("defects", parameters, request.state.principal))

    return router


@dataclass(frozen=True)
class Reports:
    """KPIs put together; each report is counted as of one moment."""

    answers: Answers

    async def efficiency(self, by: str, given: EfficiencyParameters, who: Principal) -> Efficiency:
        """Raises Problem 422, and 403 as the KPIs do."""
        _check_filters(given.filter)
        of = (by, given.from_, given.to, given.zone, given.filter, given.clock)
        after = place_of(given.cursor, of, str) if given.cursor is not None else None
        found: dict[str, Figures] = {}
        as_of = await self.answers.as_of(*(KPIS[column.kpi] for column in EFFICIENCY))
        async with self.answers.figures.snapshot() as session:
            for column in EFFICIENCY:
                found[column.name] = await self._column(column, by, given, who, session)
        keys = sorted({key for figures in found.values() for key in figures.by_key})
        chosen = [key for key in keys if after is None or key > after]
        page = chosen[: given.limit]
        return Efficiency(
            by=by,
            zone=self.answers.zone.key if given.zone is None else given.zone,
            as_of=as_of,
            columns=[_heading(column, by, given) for column in EFFICIENCY],
            total={name: figures.total for name, figures in found.items()},
            items=[_line(by, key, found) for key in page],
            next=cursor(of, page[-1]) if len(chosen) > len(page) else None,
        )

    async def pareto(self, name: str, given: ParetoParameters, who: Principal) -> Pareto:
        """Raises Problem 422, and 403 as the KPI does."""
        of = (name, given.by, given.from_, given.to, given.zone, given.filter)
        place = place_of(given.cursor, of, tuple[int, str]) if given.cursor is not None else None
        query = Parameters.model_validate(_period(given) | {"by": [given.by]})
        as_of = await self.answers.as_of(KPIS[name])
        async with self.answers.figures.snapshot() as session:
            question = await self.answers.question(name, query, who, session)
            counted = await self.answers.counted(question, session)
        (counter,) = question.kpi.numerator
        bars = pareto(counted, given.by, counter)
        chosen = [bar for bar in bars if place is None or (-bar.n, bar.key[given.by]) > (-place[0], place[1])]
        page = chosen[: given.limit]
        total, _ = self.answers.points(question, counted, most=len(bars) + MOST_POINTS)
        more = len(chosen) > len(page)
        return Pareto(
            kpi=name,
            by=given.by,
            zone=question.zone.key,
            as_of=as_of,
            total=total,
            items=page,
            next=cursor(of, (page[-1].n, page[-1].key[given.by])) if more else None,
        )

    async def _column(
        self, column: Column, by: str, given: EfficiencyParameters, who: Principal, session: Session
    ) -> Figures:
        query = Parameters.model_validate(_query(column, by, given))
        question = await self.answers.question(column.kpi, query, who, session)
        total, series = self.answers.points(question, await self.answers.counted(question, session))
        nothing, _ = self.answers.points(question, Counted([], {}))
        return Figures(total, {one.key[by]: one.points[0] for one in series}, nothing)


def _line(by: str, key: str, found: Mapping[str, Figures]) -> Line:
    return Line({by: key}, {name: one.by_key.get(key, one.nothing) for name, one in found.items()})


def _heading(column: Column, by: str, given: EfficiencyParameters) -> Heading:
    kpi = KPIS[column.kpi]
    return Heading(column.name, column.title, kpi.name, kpi.unit, kpi.direction, _query(column, by, given))


def _query(column: Column, by: str, given: EfficiencyParameters) -> dict[str, str | list[str]]:
    """The parameters that ask the column's KPI."""
    query: dict[str, str | list[str]] = {**_period(given), "by": [by], **column.parameters}
    if column.is_time and given.clock is not None:
        query["clock"] = given.clock
    if column.always:
        query.pop("from", None)
    return query


def _period(given: PeriodParameters) -> dict[str, str | list[str]]:
    asked = {"from": given.from_, "to": given.to, "zone": given.zone, "filter": given.filter}
    return {name: value for name, value in asked.items() if value is not None and value != []}


def _check_filters(filters: list[str]) -> None:
    """A report is narrowed by what all its columns are counted by."""
    for text in filters:
        name, colon, _ = text.partition(":")
        if colon and name not in COMMON:
            raise refuse("filter", f"not a dimension of this report; allowed: {', '.join(COMMON)}")
