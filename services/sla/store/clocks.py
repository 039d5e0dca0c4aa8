"""Clocks in MongoDB (`clocks`, database PREFIX_sla), and all that a decision changes.

One document per case, `_id` the case id; indexed by (partition, next_at) for the sweep. Packed (msgpack),
since nothing looks into one: it costs half to read and to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from services.sla.domain.clock import Clock
from services.sla.domain.notice import Waiting
from services.sla.store.documents import clock_document, clock_of
from services.sla.store.escalations import EscalationStore
from services.sla.store.late import LateFilter, LateList, Place
from services.sla.store.notices import NoticeStore
from shared.errors import Fenced
from shared.events import EscalationRaised
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes


@dataclass(slots=True)
class Changes:
    """What a decision leaves behind: clocks that are new, clocks that moved on, steps that fired.

    `relisted` are those of the moved whose dues or labels are others than before; `waiting` is what people
    are to be told.
    """

    new: list[Clock] = field(default_factory=list)
    moved: list[Clock] = field(default_factory=list)
    relisted: list[Clock] = field(default_factory=list)
    raised: list[EscalationRaised] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


class ClockStore:
    """All that the service keeps. `load`, `changed` and `save` run inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._clocks = database.clocks
        self.late_list = LateList(database)
        self.escalations = EscalationStore(database)
        self.notices = NoticeStore(database)

    async def ensure_indexes(self) -> None:
        """A partial index for the sweep: a clock that waits for nothing costs it nothing."""
        await ensure_indexes(
            self._clocks,
            [
                IndexModel(
                    [("partition", ASCENDING), ("next_at", ASCENDING)],
                    partialFilterExpression={"next_at": {"$exists": True}},
                )
            ],
        )
        await self.late_list.ensure_indexes()
        await self.notices.ensure_indexes()
        await self.escalations.ensure_indexes()

    async def load(self, case_ids: Collection[UUID], session: Session) -> dict[UUID, Clock]:
        """The clocks of these cases, where there are any."""
        found = self._clocks.find({"_id": {"$in": list(case_ids)}}, session=session)
        return {document["_id"]: clock_of(document) for document in await found.to_list(None)}

    async def load_due(self, partitions: Collection[int], now: datetime, limit: int) -> Iterator[Clock]:
        """Clocks with something to say by `now`, the longest overdue first; outside of any transaction.

        Each is unpacked when it is asked for.
        """
        with driver_errors():
            found = self._clocks.find(_due(partitions, now), {"_id": 0, "clock": 1})
            documents = await found.sort("next_at", ASCENDING).limit(limit).to_list(None)
        return map(clock_of, documents)

    async def changed(self, clocks: Sequence[Clock], session: Session) -> set[UUID]:
        """Those of these cases whose clock has another version by now."""
        versions = {clock.case_id: clock.version for clock in clocks}
        found = self._clocks.find({"_id": {"$in": list(versions)}}, {"version": 1}, session=session)
        now = {document["_id"]: document["version"] for document in await found.to_list(None)}
        return {case for case, version in versions.items() if now.get(case) != version}

    async def save(self, changes: Changes, session: Session) -> None:
        """Write what a decision changed, each clock only over the version that it was decided from.

        Raises Fenced when another writer was there in between.
        """
        if changes.new:
            await self._clocks.insert_many([clock_document(clock) for clock in changes.new], session=session)
            await self.late_list.insert(changes.new, session)
        if changes.moved:
            await self._replace(changes.moved, session)
        await self.late_list.renew(changes.relisted, session)
        await self.escalations.add(changes.raised, session)
        await self.notices.add(changes.waiting, session)

    async def _replace(self, clocks: Sequence[Clock], session: Session) -> None:
        """Taken out and put in again, which costs two thirds of replacing them one by one.

        Each has to be there in the version that it was decided from.
        """
        before: defaultdict[int, list[UUID]] = defaultdict(list)
        for clock in clocks:
            before[clock.version - 1].append(clock.case_id)
        gone = {"$or": [{"version": version, "_id": {"$in": ids}} for version, ids in before.items()]}
        result = await self._clocks.delete_many(gone, session=session)
        if result.deleted_count != len(clocks):
            raise Fenced("sla: a clock was moved by another replica")
        documents = [clock_document(clock) for clock in clocks]
        await self._clocks.insert_many(documents, ordered=False, session=session)

    async def due_partitions(
        self, partitions: Collection[int], now: datetime, limit: int
    ) -> Sequence[Document]:
        """`partition` and `next_at` of what is due, from the index alone; the longest overdue first."""
        with driver_errors():
            found = self._clocks.find(_due(partitions, now), {"_id": 0, "partition": 1, "next_at": 1})
            return await found.sort("next_at", ASCENDING).limit(limit).to_list(None)

    async def clock(self, case_id: UUID) -> Clock | None:
        with driver_errors():
            document = await self._clocks.find_one({"_id": case_id})
        return None if document is None else clock_of(document)

    async def late(self, wanted: LateFilter) -> list[tuple[Place, Clock | None]]:
        """Clocks of the list that is asked for, each with its place.

        A clock may have moved on since its place was read.
        """
        with driver_errors():
            places = await self.late_list.find(wanted)
            found = await self._clocks.find({"_id": {"$in": [case for _, case in places]}}).to_list(None)
        clocks = {document["_id"]: clock_of(document) for document in found}
        return [(place, clocks.get(place[1])) for place in places]


def _due(partitions: Iterable[int], now: datetime) -> Document:
    return {"partition": {"$in": list(partitions)}, "next_at": {"$lte": now}}
