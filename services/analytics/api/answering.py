"""From a caller's parameters to counted figures: what all routes of analytics have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import msgspec
from fastapi import Response

from services.analytics.api.questions import (
    MOST_POINTS,
    Parameters,
    asked,
    of_departments,
    of_owners,
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
    answer,
)
from services.analytics.domain.recompute import Recount
from services.analytics.domain.spans import ValueOf
from services.analytics.freshness import Freshness
from services.analytics.store.evidence import EvidenceStore
from services.analytics.store.figures import FigureStore, TooManyFacts
from services.analytics.store.positions import topics_of
from shared.clock import Clock
from shared.mongo import Session
from shared.principal import Principal
from shared.problem import Fault, Problem


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


@dataclass(frozen=True)
class Answers:
    """Answers questions of callers, within what they may see.

    `zone` is used where none is named; a week begins on the `first_weekday` of the policy in force.
    """

    figures: FigureStore
    evidence: EvidenceStore
    freshness: Freshness
    clock: Clock
    zone: ZoneInfo
    value_of: ValueOf
    first_weekday: Callable[[], int]

    async def question(
        self, name: str, parameters: Parameters, who: Principal, session: Session | None = None
    ) -> Question:
        """The question, narrowed to the caller's departments. Raises Problem 403, 404, 422."""
        wanted = of_owners(of_departments(asked(kpi_of(name), parameters, self.zone), who), who)
        extent = None if wanted.bounded else await self.figures.extent(wanted.kpi, session)
        return wanted.question(extent, self.clock.now(), self.first_weekday())

    async def as_of(self, *kpis: Kpi) -> datetime | None:
        """Up to when all of the KPIs are told. Ask before reading: what is read then is not older."""
        return await self.freshness.as_of(frozenset[str]().union(*map(topics_of, kpis)))

    async def figure(self, question: Question) -> Figure:
        """One figure: its total, and its series by grain and dimensions."""
        kpi = question.kpi
        as_of = await self.as_of(kpi)
        total, series = self.points(question, await self.counted(question))
        return Figure(kpi.name, kpi.definition, kpi.unit, question.zone.key, as_of, total, series)

    async def counted(self, question: Question, session: Session | None = None) -> Counted:
        """What answers the question, as of the session's moment. Raises Problem 422 for too many facts."""
        try:
            if question.kpi.now:
                recount, now = Recount(question), self.clock.now()
                async with aclosing(self.figures.open_cases(question)) as cases:
                    async for case in cases:
                        recount.add(aged(case, now))
                return recount.counted()
            return await self.figures.counted(question, session)
        except TooManyFacts as error:
            self.refuse_facts(error)

    def points(
        self, question: Question, counted: Counted, most: int = MOST_POINTS
    ) -> tuple[Point, list[Series]]:
        """Raises Problem 422 for more points than an answer may have."""
        value_of = float if question.kpi.now else self.value_of
        try:
            return answer(question, counted, value_of, self.clock.now(), most)
        except TooManyPoints as error:
            message = (
                "too many values x periods for one answer: filter, or take a coarser grain or a shorter span"
            )
            raise refuse("by", message, most) from error

    def refuse_facts(self, error: Exception) -> NoReturn:
        message = (
            "too many facts for a figure that is not kept ready (docs/kpis.md): narrow from and to, "
            "or ask by fewer dimensions"
        )
        raise refuse("from", message, self.figures.facts_per_answer) from error


def kpi_of(name: str) -> Kpi:
    """Raises Problem 404 with the names that there are."""
    if name not in KPIS:
        fault = Fault("/name", f"allowed: {', '.join(KPIS)}")
        raise Problem(404, "There is no KPI of this name; GET /v1/kpis lists them.", [fault])
    return KPIS[name]


def json_answer(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
