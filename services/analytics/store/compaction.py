"""Segments become days: what batches counted, summed by dimension and UTC day, so that reading is cheap.

One transaction takes segments away and adds their lines to the day documents and chunks, so at every moment
each line is in exactly one of the two; a compactor that dies leaves everything as it was, and two that meet
change the same documents, so one of them starts again. That there is one at a time (a lease) only saves work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple
from uuid import uuid4

import numpy as np
import structlog
from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.analytics.domain.figures import SLOT
from services.analytics.domain.rows import DAY, EPOCH
from services.analytics.domain.tallies import TALLIES, VOICE, Tally
from services.analytics.store import voice
from services.analytics.store.packed import WEIGHT, Packed, Sums, Table, concatenated, netted, unpack
from services.analytics.store.places import chunk_id, day_id
from services.analytics.store.words import NewWords, Words
from shared.crash import crash_point
from shared.errors import TooSlow, TransientError
from shared.mongo import Database, Document, Mongo, Session, driver_errors, transaction

log = structlog.get_logger("cqm.compaction")

LINES_AT_ONCE = 100_000
DAYS_AT_ONCE = 40
"""Days of tallies in one transaction: each is some twenty documents, and MongoDB ends slow transactions."""
CHUNK_LINES = 50_000
SMALLEST_SHARE = 1 / 64
"""Of what is done at once, where MongoDB is slow."""
LEASE, LEASE_SECONDS = "compactor", 15
ENOUGH_SEGMENTS = 24
"""Segments that queries read along without being slowed down; so many wait for company, but not for long."""
LONGEST_WAIT = 10
"""Pauses after which a few segments are compacted all the same."""


class Place(NamedTuple):
    """The UTC day of a tally."""

    tally: str
    day: int


@dataclass
class Compactor:
    """Compacts the segments of one database, while it holds the lease."""

    PAUSE_SECONDS: ClassVar = 1.0
    """Between two steps."""

    mongo: Mongo
    database: Database

    def __post_init__(self) -> None:
        self._me, self._words, self._waited, self._share = uuid4().hex, Words(), 0, 1.0

    async def step(self) -> None:
        """Compact, when there is enough to do and the lease is held."""
        with suppress(TransientError), driver_errors():
            if await self._is_time() and await self._holds_lease():
                while await self.compact():
                    await self._holds_lease()

    async def compact(self) -> int:
        """Compact what there is, up to a transaction's worth; how many segments were taken away."""

        attempts = 0

        async def body(session: Session) -> int:
            nonlocal attempts
            attempts += 1
            if attempts > 1:  # ended by MongoDB for its length, most likely: it says so only now and then
                self._share = max(SMALLEST_SHARE, self._share / 2)
            taken = await self._take(session)
            if not taken:
                return 0
            await self._words.read(self.database.words, session)
            words = NewWords(self._words)
            most = max(1, int(DAYS_AT_ONCE * self._share))
            now, later = await asyncio.to_thread(_by_day, taken, words, most)
            said, unsaid = await asyncio.to_thread(_said, taken)
            await words.add(self.database.words, session)
            await self._add(now, session)
            await voice.save(said, self.database.voice, session)
            writes: list[Any] = [DeleteOne({"_id": segment["_id"]}) for segment in taken]
            if later or unsaid:
                writes.append(InsertOne(_segment(later, unsaid, words)))
            await self.database.segments.bulk_write(writes, ordered=False, session=session)
            crash_point(LEASE, "in_transaction")
            return len(taken)

        async with self.mongo.session() as session:
            while True:
                try:
                    taken = await transaction(session, body)
                except TooSlow:
                    if self._share <= SMALLEST_SHARE:
                        raise
                    self._share /= 2  # a transaction of this size would be ended again
                    log.warning("compaction_too_slow", share=self._share)
                except (DuplicateKeyError, BulkWriteError) as error:
                    log.warning("compaction_met_another", error=type(error).__name__)
                    return 0
                else:
                    crash_point(LEASE, "committed")
                    self._share = min(1.0, self._share * 1.2)
                    return taken

    async def _is_time(self) -> bool:
        with driver_errors():
            some = {"_id": {"$gt": ""}}
            waiting = await self.database.segments.count_documents(some, limit=ENOUGH_SEGMENTS)
        self._waited = self._waited + 1 if waiting else 0
        if waiting < ENOUGH_SEGMENTS and self._waited < LONGEST_WAIT:
            return False
        self._waited = 0
        return bool(waiting)

    async def _holds_lease(self) -> bool:
        """Mine, or nobody's, by the database's clock.

        The document is there before it is asked for: MongoDB inserts none for a query with an expression.
        """
        leases, nobodys = self.database.leases, {"holder": "", "until": EPOCH}
        until = {"$add": ["$$NOW", timedelta(seconds=LEASE_SECONDS) // timedelta(milliseconds=1)]}
        free = {"$or": [{"holder": self._me}, {"$expr": {"$lt": ["$until", "$$NOW"]}}]}
        mine = [{"$set": {"holder": self._me, "until": until}}]
        with suppress(DuplicateKeyError):  # another replica made it in this moment
            await leases.update_one({"_id": LEASE}, {"$setOnInsert": nobodys}, upsert=True)
        return (await leases.update_one({"_id": LEASE, **free}, mine)).matched_count == 1

    async def _take(self, session: Session) -> list[Document]:
        taken, lines = [], 0
        async for segment in self.database.segments.find({"_id": {"$gt": ""}}, session=session).sort(
            "_id", 1
        ):
            taken.append(segment)
            lines += sum(share["n"] for share in segment["t"].values())
            if lines >= LINES_AT_ONCE * self._share:
                break
        return taken

    async def _add(self, now: Mapping[Place, Table], session: Session) -> None:
        ids = [day_id(place.tally, by, place.day) for place in now for by in TALLIES[place.tally].rollups]
        days = await self._found("days", ids, session, {"h": 1})
        chunks = await self._found("chunks", [chunk_id(place.tally, place.day, 0) for place in now], session)
        sums, lines = await asyncio.to_thread(_merged, now, days, chunks)
        if sums:
            await self.database.days.bulk_write(sums, ordered=False, session=session)
        if lines:
            await self.database.chunks.bulk_write(lines, ordered=False, session=session)

    async def _found(
        self, collection: str, ids: Sequence[str], session: Session, fields: Document | None = None
    ) -> dict[str, Document]:
        found = self.database[collection].find({"_id": {"$in": list(ids)}}, fields, session=session)
        return {document["_id"]: document async for document in found}


def unpacked(share: Packed, tally: Tally, words: NewWords) -> Table:
    """A segment's share of one tally, with the codes of all."""
    table = unpack(share, 0, tally.dimensions, (*tally.counters, *tally.spans, WEIGHT), tally.spans)
    for name, codes in table.codes.items():
        table.codes[name] = words.coded(name, share["k"][name])[codes]
    return table


def _by_day(
    segments: Sequence[Document], words: NewWords, most: int
) -> tuple[dict[Place, Table], dict[str, Table]]:
    """The lines of segments by the day they count in; those of more than `most` days are left over."""
    now: dict[Place, Table] = {}
    later: dict[str, Table] = {}
    for name, tally in TALLIES.items():
        shares = [unpacked(s["t"][name], tally, words) for s in segments if name in s["t"]]
        if not shares:
            continue
        table = netted(concatenated(shares))
        days = table.at // DAY
        chosen = np.unique(days)[: max(0, most - len(now))]
        for day in chosen.tolist():
            now[Place(name, day)] = table.take(days == day)
        left = table.take(~np.isin(days, chosen))
        if len(left):
            later[name] = left
    return now, later


def _said(segments: Sequence[Document]) -> tuple[dict[voice.Place, voice.Cell], dict[voice.Line, int]]:
    """What texts say, and what is left over of that."""
    return voice.divided(voice.lines_of(segments))


def _segment(tables: Mapping[str, Table], unsaid: Mapping[voice.Line, int], words: NewWords) -> Document:
    """Lines that are left over as a segment again."""
    shares = {VOICE.name: voice.packed(unsaid)} if unsaid else {}
    for name, table in tables.items():
        kept: dict[str, list[str]] = {}
        for dimension, codes in table.codes.items():
            used, places = np.unique(codes, return_inverse=True)
            all_words = words.words(dimension)
            kept[dimension] = [all_words[code] for code in used.tolist()]
            table.codes[dimension] = places.astype(np.int64)
        packed = table.pack()
        shares[name] = packed | {"k": kept}
    return {"_id": f"left/{uuid4().hex}", "t": shares}


def _merged(
    now: Mapping[Place, Table], days: Mapping[str, Document], chunks: Mapping[str, Document]
) -> tuple[list[Any], list[Any]]:
    """What is to be written of days, and of chunks."""
    sums: list[Any] = []
    lines: list[Any] = []
    for place, table in now.items():
        tally, begin = TALLIES[place.tally], place.day * DAY
        for by in tally.rollups:
            identity = day_id(place.tally, by, place.day)
            added = Sums.of(table, by, SLOT)
            if identity in days:
                added = Sums.unpack(days[identity]["h"], begin, by, tally).plus(added)
            document = {"_id": identity, "v": added.rounded(DAY).pack(begin), "h": added.pack(begin)}
            sums.append(ReplaceOne({"_id": identity}, document, upsert=True))
        lines += _chunks(place, table, chunks.get(chunk_id(place.tally, place.day, 0)))
    return sums, lines


def _chunks(place: Place, table: Table, last: Document | None) -> Iterator[Any]:
    """The chunk that lines are added to has the number 0; a full one is put away under the next number."""
    begin, tally, full = place.day * DAY, TALLIES[place.tally], 0
    if last is not None:
        full = last["full"]
        old = unpack(last, begin, tally.dimensions, (*tally.counters, *tally.spans, WEIGHT), tally.spans)
        if len(old) + len(table) > CHUNK_LINES:
            full += 1
            yield InsertOne(last | {"_id": chunk_id(place.tally, place.day, full)})
        else:
            table = netted(concatenated([old, table]))
    identity = chunk_id(place.tally, place.day, 0)
    yield ReplaceOne({"_id": identity}, {"_id": identity, "full": full} | table.pack(begin), upsert=True)
