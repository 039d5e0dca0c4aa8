"""What is served and kept, beside what is counted anew: from the facts, or from Kafka's log."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from services.analytics.api.answering import Answers
from services.analytics.api.questions import refuse
from services.analytics.domain.figures import Counted, Question
from services.analytics.domain.recompute import Recount
from services.analytics.domain.replay import Replay
from services.analytics.domain.rows import Row
from services.analytics.domain.spans import BinOf
from services.analytics.log import Log
from services.analytics.store.figures import TooManyFacts
from services.analytics.store.positions import PositionStore
from services.analytics.store.rollups import (
    MOST_LINES,
    Compared,
    OfFacts,
    OfRows,
    Snapshot,
    Source,
    TooBusyADay,
    compare_all,
)
from shared.events import Event
from shared.mongo import Database, Session
from shared.problem import Fault, Problem

BUSY_SECONDS = 5
MOST_DIFFERENCES = 100
BUSY_DAY = (
    "more lines of one tally on a day than are compared at once: leave its week out by from and to, or ask "
    "for one KPI after the other (POST /v1/recompute-check)"
)


class TooLongALog(Exception):
    """More facts come of the log than one process may hold."""


@dataclass(frozen=True)
class Replays:
    """What is kept, and the log, with what it is told again with. Its facts are all held in memory until its
    end, since any of them may still be corrected: at most `most_facts`."""

    database: Database
    log: Log
    bin_of: BinOf
    positions: PositionStore
    most_facts: int


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
        async with self._in_turn():
            if source == "log":
                async with self._replayed(questions) as (found, _, _):
                    return found
            return await self._from_facts(questions)

    async def all(
        self, source: str, questions: Sequence[Question], days: tuple[int, int]
    ) -> tuple[list[Both], Compared]:
        """The same, and all rollups in the weeks of these days. Raises as `both`."""
        async with self._in_turn():
            if source == "log":
                async with self._replayed(questions) as (found, replay, session):
                    return found, await self._compared(
                        OfRows(replay.rows), lambda: nullcontext(session), days
                    )
            found = await self._from_facts(questions)
            facts = OfFacts(self.replays.database)
            return found, await self._compared(facts, self.answers.figures.snapshot, days)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if self._turn.locked():
            again = {"Retry-After": str(BUSY_SECONDS)}
            raise Problem(503, "Another figure is being recomputed.", headers=again)
        async with self._turn:
            try:
                yield
            except TooManyFacts as error:
                self.answers.refuse_facts(error)
            except TooBusyADay as error:
                raise refuse("from", BUSY_DAY, MOST_LINES) from error
            except TooLongALog as error:
                raise _refused_log(self.replays.most_facts) from error

    async def _compared(self, source: Source, snapshot: Snapshot, days: tuple[int, int]) -> Compared:
        return await compare_all(self.replays.database, source, snapshot, days, MOST_DIFFERENCES)

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

    @asynccontextmanager
    async def _replayed(
        self, questions: Sequence[Question]
    ) -> AsyncIterator[tuple[list[Both], Replay, Session]]:
        """The questions counted both ways, the log told again up to the session's moment, and the session."""
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
            both = zip(served, recounts, strict=True)
            yield [Both(mine, recount.counted()) for mine, recount in both], replay, session


def _refused_log(most: int) -> Problem:
    message = (
        "the log has more facts than one process may hold (CQM_FACTS_PER_REPLAY), and all count, whatever "
        "`query` narrows. `cqm rebuild analytics` counts the whole log into a second generation beside the "
        "live one, compares its figures with those that are served, and switches where they are equal"
    )
    return Problem(422, "The log is too long to be told again in memory.", [Fault("/from", message, most)])
