"""Segments become days: what batches counted, summed by dimension and UTC day, so that reading is cheap.

One transaction takes segments away and adds their lines to the day documents and chunks, so at every moment
each line is in exactly one of the two, and a compactor that dies leaves everything as it was. What is written
is read and summed before it: MongoDB ends a transaction after some seconds, and a busy day takes longer. That
nothing has changed since then a round number says, which each transaction moves on: whoever read another one
has read too little, and starts again. That there is one compactor at a time (a lease) only saves work.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple
from uuid import uuid4

import structlog
from pymongo import DeleteOne, InsertOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.analytics.domain.rows import EPOCH
from services.analytics.store import summing, voice, weeks
from services.analytics.store.packed import Table
from services.analytics.store.places import chunk_id
from services.analytics.store.words import NewWords, Words
from shared.crash import crash_point
from shared.errors import TooSlow, TransientError
from shared.mongo import Database, Document, Mongo, Session, driver_errors, transaction

log = structlog.get_logger("cqm.compaction")

LINES_AT_ONCE = 100_000
DAYS_AT_ONCE = 40
"""Days of tallies in one transaction: each is some twenty documents, and MongoDB ends slow transactions."""
SMALLEST_SHARE = 1 / 64
"""Of what is done at once, where MongoDB is slow."""
MOST_ATTEMPTS = 2
"""At one transaction, before it is made smaller."""
LEASE, LEASE_SECONDS = weeks.COMPACTOR, 15
ENOUGH_SEGMENTS = 24
"""Segments that queries read along without being slowed down; so many wait for company, but not for long."""
LONGEST_WAIT = 10
"""Pauses after which a few segments are compacted all the same."""
RESTS, CROWD_OF_SEGMENTS = 2, 96
"""A compaction is followed by so many times its length of rest, unless so many segments wait: a busy day's
sums cost the same for few new lines as for many."""


class _Overtaken(Exception):
    """Another compactor has written since this one read."""


class _Work(NamedTuple):
    """What a transaction writes, if the round is still the one in which it was read; `with_weeks`: whether
    weeks hold everything, and shall go on to do so."""

    round: int | None
    with_weeks: bool
    taken: Sequence[Document]
    words: NewWords
    writes: Mapping[str, Sequence[Any]]


@dataclass
class Compactor:
    """Compacts the segments of one database, while it holds the lease."""

    PAUSE_SECONDS: ClassVar = 1.0
    """Between two steps."""

    mongo: Mongo
    database: Database

    def __post_init__(self) -> None:
        self._me, self._words, self._waited, self._share = uuid4().hex, Words(), 0, 1.0
        self._rests_until = 0.0

    async def step(self) -> None:
        """Compact, when there is enough to do and the lease is held; then rest in proportion."""
        time = asyncio.get_running_loop().time
        with suppress(TransientError), driver_errors():
            if await self._is_time(time() < self._rests_until) and await self._holds_lease():
                began = time()
                while await self.compact():
                    await self._holds_lease()
                self._rests_until = time() + RESTS * (time() - began)
                await asyncio.to_thread(_give_back)

    async def compact(self) -> int:
        """Compact what there is, up to a transaction's worth; how many segments were taken away."""
        if not await weeks.are_whole(self.database):
            await weeks.sum_anew(self.mongo, self.database, self._holds_lease)
        while True:
            work = await self._prepared()
            if not work.taken:
                return 0
            try:
                async with self.mongo.session() as session:
                    await transaction(session, self._attempts(work))
            except TooSlow:
                if self._share <= SMALLEST_SHARE:
                    log.error("compaction_given_up", share=self._share)
                    raise
                self._share = max(SMALLEST_SHARE, self._share / 2)
                log.warning("compaction_too_slow", share=self._share)
            except (_Overtaken, DuplicateKeyError, BulkWriteError) as error:
                log.warning("compaction_met_another", error=type(error).__name__)
                return 0
            else:
                crash_point(LEASE, "committed")
                self._share = min(1.0, self._share * 1.2)
                return len(work.taken)

    def _attempts(self, work: _Work) -> Callable[[Session], Coroutine[Any, Any, None]]:
        """The transaction's body. Asked for again and again it was ended for its length, most likely:
        MongoDB says so only now and then."""
        attempts = 0

        async def body(session: Session) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > MOST_ATTEMPTS and self._share > SMALLEST_SHARE:
                raise TooSlow("the transaction was ended again and again")
            await self._write(work, session)

        return body

    async def _prepared(self) -> _Work:
        """Everything that is to be written, read and summed without a transaction. The round comes first:
        what is read after it is not older."""
        lease, taken = await self._lease(), await self._take()
        number, with_weeks = lease.get("round"), weeks.hold_all(lease)
        if not taken:
            return _Work(number, with_weeks, (), NewWords(self._words), {})
        await self._words.read(self.database.words)
        words = NewWords(self._words)
        most = max(1, int(DAYS_AT_ONCE * self._share))
        now, later = await asyncio.to_thread(summing.by_day, taken, words, most)
        said, unsaid = await asyncio.to_thread(summing.said, taken)
        segments: list[Any] = [DeleteOne({"_id": segment["_id"]}) for segment in taken]
        if later or unsaid:
            segments.append(InsertOne(summing.left_over(later, unsaid, words)))
        writes = await self._sums(now) | {"voice": await voice.summed(said, self.database.voice)}
        if with_weeks:
            writes["weeks"] = await self._weeks(now)
        return _Work(number, with_weeks, taken, words, writes | {"segments": segments})

    async def _write(self, work: _Work, session: Session) -> None:
        mine = {"_id": LEASE, "round": work.round}
        on: Document = {"round": 1} | ({"weeks": 1} if work.with_weeks else {})
        moved = await self.database.leases.update_one(mine, {"$inc": on}, session=session)
        if not moved.matched_count:
            raise _Overtaken
        await work.words.add(self.database.words, session)
        for collection, writes in work.writes.items():
            if writes:
                done = await self.database[collection].bulk_write(
                    list(writes), ordered=False, session=session
                )
                if collection == "segments" and done.deleted_count < len(work.taken):
                    raise _Overtaken  # by a compactor of an earlier version, which counts no rounds
        crash_point(LEASE, "in_transaction")

    async def _lease(self) -> Document:
        """How many compactions there were (`round`, not there where an earlier version has made the document)
        and whose turn it is. Made here where it is not there yet."""
        nobodys = {"holder": "", "until": EPOCH, "round": 0}
        with driver_errors(), suppress(DuplicateKeyError):  # another replica made it in this moment
            await self.database.leases.update_one({"_id": LEASE}, {"$setOnInsert": nobodys}, upsert=True)
        with driver_errors():
            found = await self.database.leases.find_one({"_id": LEASE})
        return found or nobodys

    async def _is_time(self, resting: bool) -> bool:
        """Whether so many segments wait that reading them along slows queries down, or some for long."""
        enough = CROWD_OF_SEGMENTS if resting else ENOUGH_SEGMENTS
        with driver_errors():
            waiting = await self.database.segments.count_documents({"_id": {"$gt": ""}}, limit=enough)
        self._waited = self._waited + 1 if waiting else 0
        if waiting < enough and (resting or self._waited < LONGEST_WAIT):
            return False
        self._waited = 0
        return bool(waiting)

    async def _holds_lease(self) -> bool:
        """Mine, or nobody's, by the database's clock.

        The document is there before it is asked for: MongoDB inserts none for a query with an expression.
        """
        await self._lease()
        until = {"$add": ["$$NOW", timedelta(seconds=LEASE_SECONDS) // timedelta(milliseconds=1)]}
        free = {"$or": [{"holder": self._me}, {"$expr": {"$lt": ["$until", "$$NOW"]}}]}
        mine = [{"$set": {"holder": self._me, "until": until}}]
        found = await self.database.leases.update_one({"_id": LEASE, **free}, mine)
        return found.matched_count == 1

    async def _take(self) -> list[Document]:
        taken, lines = [], 0
        with driver_errors():
            async for segment in self.database.segments.find({"_id": {"$gt": ""}}).sort("_id", 1):
                taken.append(segment)
                lines += sum(share["n"] for share in segment["t"].values())
                if lines >= LINES_AT_ONCE * self._share:
                    break
        return taken

    async def _sums(self, now: Mapping[summing.Place, Table]) -> dict[str, Sequence[Any]]:
        """What is to be written of days and of chunks."""
        days = await self._found("days", summing.ids(now), {"h": 1})
        chunks = await self._found("chunks", [chunk_id(place.tally, place.day, 0) for place in now])
        sums, lines = await asyncio.to_thread(summing.merged, now, days, chunks)
        return {"days": sums, "chunks": lines}

    async def _weeks(self, now: Mapping[summing.Place, Table]) -> Sequence[Any]:
        by_week = summing.by_week(now)
        stored = await self._found("weeks", summing.ids(by_week))
        return await asyncio.to_thread(summing.merged_weeks, by_week, stored)

    async def _found(
        self, collection: str, ids: Sequence[str], fields: Document | None = None
    ) -> dict[str, Document]:
        with driver_errors():
            found = self.database[collection].find({"_id": {"$in": list(ids)}}, fields)
            return {document["_id"]: document async for document in found.batch_size(weeks.SUMS_AT_ONCE)}


def _give_back() -> None:
    """A busy day's sums are some tens of MB, which glibc keeps for the next time, minutes later perhaps."""
    with suppress(AttributeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)
