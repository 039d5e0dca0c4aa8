"""The facts behind figures: streamed for a recount, and a page at a time for people."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from services.analytics.domain.figures import Question, Source
from services.analytics.domain.rows import DAY, EPOCH, Fact, Row, rows, seconds_since_epoch
from services.analytics.domain.tallies import JOINT_FACTS, TALLIES, TARGET_FACTS
from services.analytics.store.figures import TooManyFacts
from services.analytics.store.moments import Moments, Piece
from services.analytics.store.snapshots import snapshot
from shared.mongo import Database, Document, Session, driver_errors

MOST_AT_ONCE = 4000
"""Facts fetched at once before the span is cut into smaller ones."""
FIRST_SPAN, WIDER = 3600, 8
MOST_SECONDS = 64
"""That are asked for at once: of more each takes MongoDB longer."""
NAMED = frozenset({JOINT_FACTS, TARGET_FACTS})
"""Facts whose id is a text. Where a tally has facts of both kinds, texts stand after all UUIDs."""
LAST_ID = UUID(int=2**128 - 1)
BY_TIME = [("m.k", 1), ("m.t", 1)]
"""The index that all of this is read by."""
EARLIEST = -62_135_596_800
"""The first second of the year 1."""


class Place(NamedTuple):
    """Where a record stands in the order of records: its second, and what it is.

    `number` counts what one fact counts for in one tally.
    """

    second: int
    tally: str
    id: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row that a figure counts, with the fact it comes from."""

    place: Place
    collection: str
    row: Row


class EvidenceStore:
    """Facts by what they count for and when; never all of a collection."""

    def __init__(self, database: Database, facts_per_answer: int) -> None:
        self._database, self._moments = database, Moments(database)
        self.facts_per_answer = facts_per_answer

    async def recount(self, question: Question, session: Session | None = None) -> AsyncIterator[list[Row]]:
        """All rows in the span of the question, a few thousand at a time. Raises TooManyFacts."""
        seen, (begin, end) = 0, _span(question)
        for source in question.sources:
            for collection in TALLIES[source.tally].collections:
                cursor = self._find(question, source, collection, [(begin, end)], session).batch_size(2000)
                some: list[Row] = []
                with driver_errors():
                    async for document in cursor:
                        seen += 1
                        if seen > self.facts_per_answer:
                            raise TooManyFacts
                        some += _rows(document, source)
                        if len(some) >= MOST_AT_ONCE:
                            yield some
                            some = []
                yield some

    async def records(
        self,
        question: Question,
        after: Place | None = None,
        at_once: int = MOST_AT_ONCE,
        session: Session | None = None,
    ) -> AsyncGenerator[list[Evidence]]:
        """All records after a place in their order, some `at_once` in the memory of either side, as of one
        moment. Rows that add nothing to the figure may be among them, or be left out."""
        if session is None:
            async with (
                snapshot(self._database) as session,
                aclosing(self.records(question, after, at_once, session)) as records,
            ):
                async for some in records:
                    yield some
            return
        begin, end = _span(question)
        start = max(begin, after.second) if after else begin
        if question.kpi.stock:
            start = await self._first(question, start, session)
        async with aclosing(self._moments.of(question, start, end, session)) as pieces:
            async for piece in pieces:
                async with aclosing(self._of(question, piece, after, at_once, session)) as records:
                    async for some in records:
                        if found := [one for one in some if after is None or one.place > after]:
                            yield found

    async def _of(
        self, question: Question, piece: Piece, after: Place | None, at_once: int, session: Session
    ) -> AsyncGenerator[list[Evidence]]:
        """The records of a piece, as many of them at a time as `at_once` allows."""
        seconds, place = piece.seconds, 0
        ranged = isinstance(seconds, range)
        width = MOST_SECONDS
        if ranged:
            width = max(1, DAY * at_once // (2 * piece.a_day)) if piece.a_day else FIRST_SPAN
        while place < len(seconds):
            now = seconds[place : place + width]
            some = await self._between(question, now, at_once, session)
            if some is None and len(now) > 1:
                width = max(1, len(now) // WIDER)
                continue
            if some is None:
                async for part in self._in_one_second(question, now[0], after, at_once, session):
                    yield part
            else:
                yield some
            filled = at_once if some is None else len(some)
            place += len(now)
            width = max(1, min(width * WIDER, width * at_once // (2 * max(1, filled))))
            if not ranged:
                width = min(width, MOST_SECONDS)

    async def _between(
        self, question: Question, seconds: Sequence[int], most: int, session: Session
    ) -> list[Evidence] | None:
        """All records of these seconds in order; None when they are too many to be sorted at once."""
        found: list[Evidence] = []
        with driver_errors():
            for source, collection in _read(question):
                cursor = self._find(question, source, collection, _spans(seconds), session).limit(most + 1)
                documents = await cursor.to_list(None)
                if len(documents) > most:
                    return None
                found += _evidence(documents, source, collection, question, seconds)
        return sorted(found, key=lambda one: one.place)

    async def _in_one_second(
        self, question: Question, second: int, after: Place | None, at_once: int, session: Session
    ) -> AsyncGenerator[list[Evidence]]:
        """A second that holds more than that, such as midnight where only days are known: by tally and id."""
        for source, collection in sorted(_read(question), key=lambda one: one[0].tally):
            start = _first_id(after, source, collection) if after and after.second == second else None
            cursor = self._find(question, source, collection, [(second, second + 1)], session, start)
            cursor = cursor.sort("_id", 1).allow_disk_use(True).batch_size(at_once)
            with driver_errors():
                while documents := await cursor.to_list(at_once):
                    yield list(_evidence(documents, source, collection, question, (second,)))

    async def _first(self, question: Question, start: int, session: Session) -> int:
        """Where a stock begins: the first fact there is, so that empty centuries are not walked through."""
        moments = [start]
        for source in question.sources:
            for collection in TALLIES[source.tally].collections:
                query = {"m": {"$elemMatch": {"k": source.tally, "t": {"$gte": _at(EARLIEST)}}}}
                with driver_errors():
                    cursor = self._database[collection].find(query, {"m": 1}, session=session)
                    async for document in cursor.sort(BY_TIME).limit(1):
                        moments += [seconds_since_epoch(m["t"]) for m in document["m"]]
        return min(moments)

    def _find(
        self,
        question: Question,
        source: Source,
        collection: str,
        spans: Sequence[tuple[int, int]],
        session: Session | None = None,
        first: str | UUID | None = None,
    ) -> Any:
        """A cursor over the facts that count in the source's tally in one of the spans [start, stop);
        `first`: from this id."""
        wanted = {
            f"d.{name}": {"$in": list(values)}
            for name, values in question.where.items()
            if name != question.kpi.part
        }
        own = wanted if has_labels_of_its_own(source.tally, collection) else {}
        matched = [
            {"m": {"$elemMatch": {"k": source.tally, "t": {"$gte": _at(start), "$lt": _at(stop)}} | own}}
            for start, stop in spans
        ]
        query: Document = matched[0] if len(matched) == 1 else {"$or": matched}
        if not own:
            query = query | wanted
        if first is not None:
            query["_id"] = {"$gte": first}
        return self._database[collection].find(query, {"d": 1, "m": 1}, session=session, hint=BY_TIME)


def _spans(seconds: Sequence[int]) -> list[tuple[int, int]]:
    if isinstance(seconds, range):
        return [(seconds.start, seconds.stop)]
    return [(second, second + 1) for second in seconds]


def _read(question: Question) -> list[tuple[Source, str]]:
    """What holds records of the question; of a tally, facts with a UUID before those with a name."""
    return [
        (source, collection)
        for source in question.sources
        for collection in sorted(TALLIES[source.tally].collections, key=lambda name: name in NAMED)
    ]


def _first_id(after: Place, source: Source, collection: str) -> str | UUID | None:
    """The id at which a second is gone on with; what stands before it is left out."""
    if after.tally != source.tally:
        return None
    try:
        return after.id if collection in NAMED else UUID(after.id)
    except ValueError:  # a text, or a cursor that somebody has written: no UUID comes after it
        return LAST_ID


def has_labels_of_its_own(tally: str, collection: str) -> bool:
    """Whether the tally's measures in this collection carry labels of their own."""
    return collection == JOINT_FACTS or tally == "orders"


def _span(question: Question) -> tuple[int, int]:
    begin = EARLIEST if question.kpi.stock else seconds_since_epoch(question.begin)
    return begin, seconds_since_epoch(question.end)


def _at(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


def _rows(document: Document, source: Source) -> Iterator[Row]:
    return (row for row in rows(msgspec.convert(document, Fact)) if row.measure.k == source.tally)


def _evidence(
    documents: list[Document], source: Source, collection: str, question: Question, seconds: Sequence[int]
) -> Iterator[Evidence]:
    for document in documents:
        for number, row in enumerate(_rows(document, source)):
            second = seconds_since_epoch(row.measure.t)
            if second in seconds and question.asks_for(row):
                yield Evidence(Place(second, source.tally, str(document["_id"]), number), collection, row)
