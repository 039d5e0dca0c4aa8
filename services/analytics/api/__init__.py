"""HTTP out: the catalogue, figures, and the facts behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from services.analytics.api.questions import (
    MOST_POINTS,
    REPEATABLE,
    Asked,
    Parameters,
    asked,
    of_departments,
    refuse,
)
from services.analytics.domain.cases import aged
from services.analytics.domain.catalogue import KPIS, Kpi
from services.analytics.domain.figures import (
    Counted,
    Point,
    Question,
    Series,
    TooManyPoints,
    ValueOf,
    answer,
)
from services.analytics.domain.recompute import Recount
from services.analytics.store.figures import FigureStore, TooManyFacts
from shared.auth import Access, guarded
from shared.clock import Clock
from shared.problem import Fault, Problem
from shared.query import only


@dataclass(frozen=True, slots=True)
class Figure:
    """The answer of GET /v1/kpis/{name}."""

    name: str
    definition: Mapping[str, str]
    unit: str
    zone: str
    as_of: datetime | None
    total: Point
    series: list[Series]


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One KPI of GET /v1/kpis; `statistics` and `clocks` stand with times only."""

    name: str
    definition: Mapping[str, str]
    unit: str
    dimensions: list[str]
    direction: str
    statistics: list[str] | None = None
    clocks: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    items: list[CatalogueEntry]
    next: str | None = None


def routes(store: FigureStore, clock: Clock, zone: ZoneInfo, value_of: ValueOf, access: Access) -> APIRouter:
    """The routes of analytics; `zone` is used where a request names none."""
    router = APIRouter(prefix="/v1/kpis", tags=["kpis"], route_class=guarded(access, "kpis:read"))

    @router.get("", responses={200: {"model": Catalogue}}, dependencies=[Depends(only(()))])
    async def catalogue() -> Response:
        """The catalogue: what every figure means."""
        return _json({"items": [kpi.document() for kpi in KPIS.values()], "next": None})

    @router.get(
        "/{name}", responses={200: {"model": Figure}}, dependencies=[Depends(only(Parameters, REPEATABLE))]
    )
    async def figure(name: str, parameters: Annotated[Parameters, Query()], request: Request) -> Response:
        """One figure: its total, and its series by grain and dimensions, of the caller's departments."""
        kpi = _kpi(name)
        question = await _question(of_departments(asked(kpi, parameters, zone), request.state.principal))
        as_of = await store.as_of(kpi)
        total, series = _answer(question, await _counted(question), value_of, clock.now())
        found = Figure(kpi.name, kpi.definition, kpi.unit, question.zone.key, as_of, total, series)
        return _json(found)

    async def _question(wanted: Asked) -> Question:
        extent = None if wanted.bounded else await store.extent(wanted.kpi)
        return wanted.question(extent, clock.now())

    async def _counted(question: Question) -> Counted:
        try:
            if question.kpi.now:
                recount, now = Recount(question), clock.now()
                for case in await store.open_cases(question):
                    recount.add(aged(case, now))
                return recount.counted()
            return await store.counted(question)
        except TooManyFacts as error:
            message = (
                "too many facts for a figure that is not kept ready (docs/kpis.md): narrow from and to, "
                "or ask by fewer dimensions"
            )
            raise refuse("from", message, store.facts_per_answer) from error

    return router


def _answer(
    question: Question, counted: Counted, value_of: ValueOf, now: datetime
) -> tuple[Point, list[Series]]:
    try:
        return answer(question, counted, float if question.kpi.now else value_of, now, MOST_POINTS)
    except TooManyPoints as error:
        message = (
            "too many values x periods for one answer: filter, or take a coarser grain or a shorter span"
        )
        raise refuse("by", message, MOST_POINTS) from error


def _kpi(name: str) -> Kpi:
    if name not in KPIS:
        fault = Fault("/name", f"allowed: {', '.join(KPIS)}")
        raise Problem(404, "There is no KPI of this name; GET /v1/kpis lists them.", [fault])
    return KPIS[name]


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
