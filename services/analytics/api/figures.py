"""The catalogue, figures, and the facts behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from services.analytics.api.answering import Answers, Figure, json_answer
from services.analytics.api.cursors import LONGEST, cursor, place_of
from services.analytics.api.questions import REPEATABLE, Parameters
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Question
from services.analytics.domain.rows import EPOCH
from services.analytics.store.evidence import Evidence, Place
from shared.query import only

MOST_RECORDS = 200


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
    provisional_days: int | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    items: list[CatalogueEntry]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A fact behind a figure: what it adds to `n` and `numerator`; `seconds` of a time that was counted."""

    id: str
    kind: str
    at: datetime
    n: int
    numerator: int | None
    seconds: int | None
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Records:
    items: list[Record]
    next: str | None


class RecordParameters(Parameters):
    """Those of the figure, and the page."""

    limit: int = Field(50, ge=1, le=MOST_RECORDS)
    cursor: str | None = Field(None, max_length=LONGEST)


def figure_routes(answers: Answers, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1/kpis", tags=["kpis"], route_class=guard)

    @router.get("", responses={200: {"model": Catalogue}}, dependencies=[Depends(only(()))])
    async def catalogue() -> Response:
        """The catalogue: what every figure means."""
        return json_answer({"items": [kpi.document() for kpi in KPIS.values()], "next": None})

    @router.get(
        "/{name}", responses={200: {"model": Figure}}, dependencies=[Depends(only(Parameters, REPEATABLE))]
    )
    async def figure(name: str, parameters: Annotated[Parameters, Query()], request: Request) -> Response:
        """One figure: its total, and its series by grain and dimensions, of the caller's departments."""
        return json_answer(await answers.figure(name, parameters, request.state.principal))

    @router.get(
        "/{name}/records",
        responses={200: {"model": Records}},
        dependencies=[Depends(only(RecordParameters, REPEATABLE))],
    )
    async def records(
        name: str, parameters: Annotated[RecordParameters, Query()], request: Request
    ) -> Response:
        """The facts that a figure counts, in the order of time: their `n` add up to the figure's."""
        question = await answers.question(name, parameters, request.state.principal)
        given = parameters.cursor
        after = place_of(given, _list(question), Place) if given is not None else None
        found, last = await page_of(answers, question, after, parameters.limit)
        return json_answer(Records([record_of(question, one) for one in found], last))

    return router


async def page_of(
    answers: Answers, question: Question, after: Place | None, limit: int
) -> tuple[list[Evidence], str | None]:
    """A page of records that count in the figure, and the cursor of the next one."""
    found: list[Evidence] = []
    while len(found) <= limit:
        wanted = limit + 1 - len(found)
        some = await answers.evidence.page(question, after, wanted)
        found += [one for one in some if any(shares(question, one))]
        if len(some) < wanted:
            break
        after = some[-1].place
    more = len(found) > limit
    return found[:limit], cursor(_list(question), found[limit - 1].place) if more else None


def shares(question: Question, evidence: Evidence) -> tuple[int, int]:
    """What a record adds to n and to the numerator."""
    (name,) = {source.name for source in question.sources if source.tally == evidence.place.tally}
    return question.share(evidence.row, name)


def record_of(question: Question, evidence: Evidence) -> Record:
    n, numerator = shares(question, evidence)
    measure, span = evidence.row.measure, question.span.partition(".")[2]
    seconds = measure.s[span][0] if span in measure.s else None
    return Record(
        id=evidence.place.id,
        kind=evidence.collection.removesuffix("_facts"),
        at=EPOCH + timedelta(seconds=evidence.place.second),
        n=n,
        numerator=None if question.kpi.statistics else numerator,
        seconds=seconds,
        labels=dict(evidence.row.labels),
    )


def _list(question: Question) -> object:
    """What a list is of, so that a cursor is only good for it."""
    return question.kpi.name, sorted(question.where.items()), question.begin, question.grain
