"""What decisions load and save, all within one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from pymongo import UpdateOne

from services.routing.domain.case_file import OPEN_STATUSES, CaseFile, Entry
from services.routing.domain.changes import Changes, Outcome
from services.routing.domain.pool import Seat
from services.routing.domain.queue import Search
from services.routing.store import queue
from services.routing.store.documents import (
    BSON_TYPES,
    case_document,
    file_of,
    from_document,
    history_document,
)
from services.routing.store.parts import Part
from services.routing.store.raw_bson import outcome_document, with_ids
from shared.codec import Outgoing
from shared.mongo import Document, Session

MOST_OF_CUSTOMERS = 20_000


def going_on_of(customers: Sequence[str], opened: tuple[datetime, datetime]) -> Document:
    """The question for these customers' cases, opened in this span, that were not merged or cancelled."""
    first, last = opened
    return {
        "customer.id": {"$in": list(customers)},
        "opened_at": {"$gte": first, "$lte": last},
        "status": {"$nin": ["merged", "cancelled"]},
    }


class Working(Part):
    """Reads and writes of handlers and actions; the driver's errors are left to the transaction."""

    async def outcomes(self, ids: Sequence[UUID], session: Session) -> dict[UUID, Outcome]:
        found = await self._feedback.find(with_ids(ids), session=session).to_list(None)
        return {document["_id"]: from_document(document, Outcome) for document in found}

    async def cases_of(
        self, customers: Sequence[str], opened: tuple[datetime, datetime], session: Session
    ) -> list[CaseFile]:
        """Cases of these customers that were opened in this span and may go on, oldest first.

        Of more than MOST_OF_CUSTOMERS each customer's newest, in equal parts of what those with fewer leave:
        an id that many share (`guest`) pushes nobody else's out.
        """
        found = await self._newest_of(customers, opened, MOST_OF_CUSTOMERS, session)
        if len(found) == MOST_OF_CUSTOMERS and len(customers) > 1:
            seen = Counter(file.case.customer.id for file in found)
            found = []
            for place, customer in enumerate(sorted(customers, key=seen.__getitem__)):
                part = (MOST_OF_CUSTOMERS - len(found)) // (len(customers) - place)
                found += await self._newest_of([customer], opened, max(part, 1), session)
        return sorted(found, key=lambda file: file.case.opened_at)

    async def _newest_of(
        self, customers: Sequence[str], opened: tuple[datetime, datetime], limit: int, session: Session
    ) -> list[CaseFile]:
        found = self._cases.find(going_on_of(customers, opened), session=session)
        return [file_of(document) async for document in found.sort("opened_at", -1).limit(limit)]

    async def files(self, ids: Iterable[UUID], session: Session) -> dict[UUID, CaseFile]:
        found = self._cases.find({"_id": {"$in": list(ids)}}, session=session)
        return {document["_id"]: file_of(document) async for document in found}

    async def open_cases_in(self, department: str, limit: int, session: Session) -> list[CaseFile]:
        """Open cases of a department, in no order."""
        query = {"department": department, "status": {"$in": sorted(OPEN_STATUSES)}}
        return [file_of(d) async for d in self._cases.find(query, session=session).limit(limit)]

    async def open_cases_of_owners(
        self, department: str, owners: Sequence[str], limit: int, session: Session
    ) -> list[CaseFile]:
        """Open cases of a department that these people own."""
        query = {"owner": {"$in": list(owners)}, "department": department}
        query |= {"status": {"$in": sorted(OPEN_STATUSES)}}
        return [file_of(d) async for d in self._cases.find(query, session=session).limit(limit)]

    async def waiting(self, search: Search, limit: int, session: Session) -> list[CaseFile]:
        """What of a department's queue a turn is looking for, most urgent first, then oldest."""
        found = self._cases.find(queue.query_of(search), session=session).sort(queue.ORDER).limit(limit)
        return [file_of(document) async for document in found]

    async def queues(self, session: Session) -> set[str]:
        """The departments in whose queue a case waits."""
        return set(await self._cases.distinct("department", {"books.waiting": True}, session=session))

    async def pools(self, departments: Iterable[str], session: Session) -> dict[str, dict[str, Seat]]:
        found = self._pools.find({"_id": {"$in": list(departments)}}, session=session)
        return {d["_id"]: msgspec.convert(d["seats"], dict[str, Seat]) async for d in found}

    async def save(self, changes: Changes, session: Session) -> None:
        """Write what a decision wants; a case that changed meanwhile makes the transaction run again.

        Cases that changed are taken out and put in again, all at once: in a transaction mongod reads the list
        of a collection's indexes anew for each index of each single update (docs/performance.md).
        """
        if changes.outcomes:
            await self._feedback.insert_many([outcome_document(o) for o in changes.outcomes], session=session)
        changed = [case_id for case_id in changes.files if changes.before[case_id] is not None]
        if changed:
            found = await self._cases.delete_many({"_id": {"$in": changed}}, session=session)
            assert found.deleted_count == len(changed), "a case is not as it was read"
        if changes.files:
            written = [case_document(file) for file in changes.files.values()]
            await self._cases.insert_many(written, ordered=False, session=session)
        if changes.entries:
            await self._history.insert_many([history_document(e) for e in changes.entries], session=session)
        seats = [UpdateOne({"_id": name}, _turned(pool), True) for name, pool in changes.pools.items()]
        if seats:
            await self._pools.bulk_write(seats, ordered=False, session=session)
        for case_id, feedbacks in changes.moved.items():
            moved = {"$set": {"case_id": case_id, "state": "joined"}}
            await self._feedback.update_many({"_id": {"$in": list(feedbacks)}}, moved, session=session)

    async def save_said(self, entry: Entry, said: Sequence[Outgoing], session: Session) -> None:
        """Add a history entry with its outbox: the events that are still to be published."""
        document = history_document(entry) | {"outbox": msgspec.msgpack.encode(said), "at": entry.change.at}
        await self._history.insert_one(document, session=session)


def _turned(seats: dict[str, Seat]) -> Document:
    """The write of a turn. The count makes it one even where the loads are those of before, so that of two
    turns at once MongoDB lets one win."""
    return {"$set": {"seats": msgspec.to_builtins(seats, builtin_types=BSON_TYPES)}, "$inc": {"turns": 1}}
