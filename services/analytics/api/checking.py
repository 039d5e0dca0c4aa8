"""Figures recomputed: from the facts, or from the log, beside what is served."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from services.analytics.api.answering import Answers, json_answer
from services.analytics.api.questions import Parameters, refuse
from services.analytics.domain.catalogue import KPIS, Kpi
from services.analytics.domain.figures import Counted, Point, Question, Series
from services.analytics.domain.recompute import Recount
from services.analytics.domain.replay import Replay
from services.analytics.domain.rows import Row
from services.analytics.domain.spans import BinOf
from services.analytics.log import Log
from services.analytics.store.figures import TooManyFacts
from services.analytics.store.positions import PositionStore
from shared.bodies import limited
from shared.events import Event
from shared.http_body import BodyLimits
from shared.mongo import Session
from shared.problem import Fault, Problem
from shared.query import only

BODY = BodyLimits(("application/json",), bytes=100_000, seconds=10.0)
MOST_DIFFERENCES = 100
BUSY_SECONDS = 5


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
class Verdicts:
    source: str
    as_of: datetime | None
    equal: bool
    items: list[Verdict]


class TooLongALog(Exception):
    """More facts come of the log than one process may hold."""


@dataclass(frozen=True)
class Replays:
    """What the log is told again with. Its facts are all held in memory until its end, since any of them may
    still be corrected: at most `most_facts`."""

    log: Log
    bin_of: BinOf
    positions: PositionStore
    most_facts: int


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
        """The same for every KPI, as a whole and by a dimension, in one reading."""
        questions = []
        for kpi in KPIS.values():
            for by in () if kpi.now else ([], [_dimension(kpi)]):
                query = check.query.model_copy(update={"by": by})
                questions.append(await answers.question(kpi.name, query, request.state.principal))
        as_of = await answers.as_of(*(question.kpi for question in questions))
        pairs = await recomputing.both(check.from_, questions)
        found = [_verdict(answers, *one) for one in zip(questions, pairs, strict=True)]
        return json_answer(Verdicts(check.from_, as_of, all(one.equal for one in found), found))

    return router


class Both(NamedTuple):
    """`served`: as it is answered, and by days alone, which other spans and grains are answered from."""

    served: Sequence[Counted]
    recomputed: Counted


@dataclass
class Recomputing:
    """Counts questions twice: as they are served, and anew. One at a time, since it reads everything."""

    answers: Answers
    replays: Replays
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def both(self, source: str, questions: Sequence[Question]) -> list[Both]:
        """Served and recomputed, as of one moment. Raises Problem 422 for too many facts, 503 when busy."""
        if self._turn.locked():
            again = {"Retry-After": str(BUSY_SECONDS)}
            raise Problem(503, "Another figure is being recomputed.", headers=again)
        async with self._turn:
            try:
                return await (self._from_log if source == "log" else self._from_facts)(questions)
            except TooManyFacts as error:
                self.answers.refuse_facts(error)
            except TooLongALog as error:
                raise _refused_log(self.replays.most_facts) from error

    async def _from_facts(self, questions: Sequence[Question]) -> list[Both]:
        found = []
        for question in questions:
            async with self.answers.figures.snapshot() as session:
                served = await self._served(question, session)
                recount = Recount(question)
                async for some in self.answers.evidence.recount(question, session):
                    recount.add(some)
            found.append(Both(served, recount.counted()))
        return found

    async def _served(self, question: Question, session: Session) -> list[Counted]:
        counted = self.answers.figures.counted
        return [await counted(question, session, by_weeks=by_weeks) for by_weeks in (True, False)]

    async def _from_log(self, questions: Sequence[Question]) -> list[Both]:
        async with self.answers.figures.snapshot() as session:
            served = [await self._served(question, session) for question in questions]
            following = await self.replays.positions.following(session)
        ends = {partition: offset or 0 for partition, offset in following.items()}
        replay, recounts = Replay(self.replays.bin_of), [Recount(question) for question in questions]

        def hear(events: Sequence[Event]) -> None:
            by_tally = defaultdict[str, list[Row]](list)
            for row in replay.hear(events):
                by_tally[row.measure.k].append(row)
            for recount in recounts:
                for tally in recount.tallies:
                    recount.add(by_tally[tally])

        async with aclosing(self.replays.log.read(ends)) as log:
            async for events in log:
                await asyncio.to_thread(hear, events)
                if len(replay) > self.replays.most_facts:
                    raise TooLongALog
        return [Both(mine, recount.counted()) for mine, recount in zip(served, recounts, strict=True)]


def _refused_log(most: int) -> Problem:
    message = (
        "the log has more facts than one process may hold (CQM_FACTS_PER_REPLAY), and all count, whatever "
        "`query` narrows. `cqm rebuild analytics` counts the whole log into a second generation beside the "
        "live one, compares its figures with those that are served, and switches where they are equal"
    )
    return Problem(422, "The log is too long to be told again in memory.", [Fault("/from", message, most)])


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
