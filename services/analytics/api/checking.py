"""Figures recomputed: from the facts, or from the log, beside what is served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from services.analytics.api.answering import Answers, json_answer
from services.analytics.api.questions import Parameters, asked, refuse
from services.analytics.api.recomputing import MOST_DIFFERENCES, Both, Recomputing, Replays
from services.analytics.domain.catalogue import KPIS, Kpi
from services.analytics.domain.figures import Point, Question, Series
from services.analytics.domain.rows import DAY, seconds_since_epoch
from services.analytics.store.places import FIRST_DAY, LAST_DAY
from services.analytics.store.rollups import Difference, Form
from shared.bodies import limited
from shared.http_body import BodyLimits
from shared.query import only

BODY = BodyLimits(("application/json",), bytes=100_000, seconds=10.0)


class CheckAll(BaseModel):
    """What all KPIs are recomputed from. `query`: parameters of a figure that all know."""

    model_config = ConfigDict(extra="forbid")

    from_: Literal["facts", "log"] = Field("facts", alias="from")
    query: Parameters = Field(default_factory=lambda: Parameters.model_validate({}))


class Check(CheckAll):
    """What is to be recomputed. `query` takes the parameters of GET /v1/kpis/{name}."""

    kpi: str = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class Totals:
    total: Point
    series: list[Series]


@dataclass(frozen=True, slots=True)
class Checked:
    """`difference` is recomputed less served of the total; `differing` names up to 100 points. `as_of`: up to
    when all partitions are in both."""

    kpi: str
    source: str
    as_of: datetime | None
    equal: bool
    difference: float
    differing: list[dict[str, Any]]
    served: Totals
    recomputed: Totals


@dataclass(frozen=True, slots=True)
class Verdict:
    """One KPI of all, `by` nothing or one dimension."""

    kpi: str
    by: list[str]
    equal: bool
    n: int
    difference: float
    differing: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class WrongSum:
    """A number of a rollup that is not what it has to be: `form` is one of those that sums are kept in,
    `start` from when on it counts, `counter` its column."""

    tally: str
    by: list[str]
    key: dict[str, str]
    form: Form
    day: date
    start: datetime
    counter: str
    kept: int
    recomputed: int


@dataclass(frozen=True, slots=True)
class RollupVerdict:
    """Every rollup of every tally, in every form in which it is kept: `checked` sums of a day or a week, of
    which `wrong` differ; `differing` names up to 100 of their numbers."""

    equal: bool
    checked: int
    wrong: int
    differing: list[WrongSum]


@dataclass(frozen=True, slots=True)
class Verdicts:
    source: str
    as_of: datetime | None
    equal: bool
    items: list[Verdict]
    rollups: RollupVerdict


def checking_routes(answers: Answers, replays: Replays, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["kpis"], route_class=limited(guard, BODY))
    recomputing = Recomputing(answers, replays)

    @router.post("/recompute-check", responses={200: {"model": Checked}}, dependencies=[Depends(only(()))])
    async def recompute_check(check: Check, request: Request) -> Response:
        """Recompute a figure from the facts or from Kafka, and compare it with what is served."""
        question = await answers.question(check.kpi, check.query, request.state.principal)
        if question.kpi.now:
            raise refuse("kpi", "is read from the cases themselves: there is nothing to compare it with")
        as_of = await answers.as_of(question.kpi)
        (both,) = await recomputing.both(check.from_, [question])
        return json_answer(_compared(check, answers, question, as_of, both))

    @router.post(
        "/recompute-check/all", responses={200: {"model": Verdicts}}, dependencies=[Depends(only(()))]
    )
    async def recompute_all(check: CheckAll, request: Request) -> Response:
        """The same for every KPI, as a whole and by a dimension, in one reading, and for every rollup that is
        kept, in the weeks of the span, whatever `filter` says. Only who sees all departments comes here."""
        questions = []
        for kpi in KPIS.values():
            for by in () if kpi.now else ([], [_dimension(kpi)]):
                query = check.query.model_copy(update={"by": by})
                questions.append(await answers.question(kpi.name, query, request.state.principal))
        as_of = await answers.as_of(*(question.kpi for question in questions))
        pairs, compared = await recomputing.all(check.from_, questions, _days(answers, check.query))
        found = [_verdict(answers, *one) for one in zip(questions, pairs, strict=True)]
        rollups = RollupVerdict(
            not compared.wrong, compared.checked, compared.wrong, list(map(_named, compared.differing))
        )
        equal = rollups.equal and all(one.equal for one in found)
        return json_answer(Verdicts(check.from_, as_of, equal, found, rollups))

    return router


def _days(answers: Answers, query: Parameters) -> tuple[int, int]:
    """The first and the last UTC day of the span; of all days where it has no begin, or no end."""
    wanted = asked(next(iter(KPIS.values())), query.model_copy(update={"by": [], "filter": []}), answers.zone)
    first = FIRST_DAY if wanted.begin is None else seconds_since_epoch(wanted.begin) // DAY
    last = LAST_DAY if wanted.end is None else (seconds_since_epoch(wanted.end) - 1) // DAY
    return first, last


def _named(one: Difference) -> WrongSum:
    key = dict(zip(one.by, one.key, strict=True))
    return WrongSum(
        one.tally, list(one.by), key, one.form, one.start.date(), one.start, one.column, one.kept,
        one.recomputed,
    )  # fmt: skip


def _dimension(kpi: Kpi) -> str:
    return "department" if "department" in kpi.dimensions else kpi.dimensions[-1]


def _verdict(answers: Answers, question: Question, both: Both) -> Verdict:
    mine, theirs, differing = _beside(answers, question, both)
    return Verdict(
        kpi=question.kpi.name,
        by=list(question.by),
        equal=not differing and mine.total == theirs.total,
        n=mine.total.n,
        difference=(theirs.total.value or 0) - (mine.total.value or 0),
        differing=differing[:MOST_DIFFERENCES],
    )


def _compared(
    check: Check, answers: Answers, question: Question, as_of: datetime | None, both: Both
) -> Checked:
    mine, theirs, differing = _beside(answers, question, both)
    return Checked(
        kpi=check.kpi,
        source=check.from_,
        as_of=as_of,
        equal=not differing and mine.total == theirs.total,
        difference=(theirs.total.value or 0) - (mine.total.value or 0),
        differing=differing[:MOST_DIFFERENCES],
        served=mine,
        recomputed=theirs,
    )


def _beside(answers: Answers, question: Question, both: Both) -> tuple[Totals, Totals, list[dict[str, Any]]]:
    """Served, recomputed, and the points that differ: those of the first way of serving that differs."""
    theirs = Totals(*answers.points(question, both.recomputed))
    ways = [Totals(*answers.points(question, counted)) for counted in both.served]
    found = [(way, _differing(way.series, theirs.series)) for way in ways]
    wrong = ((way, points) for way, points in found if points or way.total != theirs.total)
    mine, differing = next(wrong, found[0])
    return mine, theirs, differing


def _differing(served: list[Series], recomputed: list[Series]) -> list[dict[str, Any]]:
    mine, theirs = (
        {(tuple(one.key.items()), point.start): point for one in series for point in one.points}
        for series in (served, recomputed)
    )
    return [
        {"key": dict(at[0]), "start": at[1], "served": mine.get(at), "recomputed": theirs.get(at)}
        for at in mine | theirs
        if mine.get(at) != theirs.get(at)
    ]
