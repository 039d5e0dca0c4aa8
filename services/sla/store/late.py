"""What is late, as lists ask for it: one small document per case with an open due (`dues`).

It stands apart from the clock (docs/adr/0023-what-is-late-stands-apart.md): the sweep writes clocks all day
and changes no due, and whoever writes a document pays for every index of its collection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from services.sla.domain.clock import Clock
from shared.events import Priority
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes

Due = Literal["earliest", "first_response", "update", "resolution", "ola"]
DUES: tuple[Due, ...] = ("earliest", "first_response", "update", "resolution", "ola")
PRIORITIES: tuple[Priority, ...] = ("P1", "P2", "P3", "P4")
WALKS = 200
"""Walks along an index that MongoDB merges (internalQueryMaxScansToExplode); with more it sorts them all."""
_OF_OWNER = "owner"
Place = tuple[datetime, UUID]


def due_document(clock: Clock) -> Document | None:
    """The entry of a clock; None when nothing of it is due."""
    dues, labels = clock.open_dues, clock.labels
    if dues is None:
        return None
    document: Document = {
        "_id": clock.case_id, "department": labels.department, "priority": labels.priority,
        "owner": labels.owner,
    }  # fmt: skip
    for name in DUES:
        moment = getattr(dues, name)
        if moment is not None:
            document[name] = moment
    return document


class LateList:
    """The entries, and the departments that they have ever had: lists walk the index of each."""

    def __init__(self, database: Database) -> None:
        self._dues = database.dues
        self._departments = database.departments
        self._known: set[str] = set()

    async def ensure_indexes(self) -> None:
        """One walk per kind of due, a department and a priority at a time, each in the order of its dues.

        MongoDB merges the walks. An owner's are few enough to be sorted.
        """
        walks = [
            IndexModel(
                [("department", ASCENDING), ("priority", ASCENDING), (due, ASCENDING), ("_id", ASCENDING)],
                name=_walk(due),
                partialFilterExpression={due: {"$exists": True}},
            )
            for due in DUES
        ]
        owners = IndexModel([("owner", ASCENDING), ("earliest", ASCENDING)], name=_OF_OWNER)
        await ensure_indexes(self._dues, [owners, *walks])

    async def insert(self, clocks: Sequence[Clock], session: Session) -> None:
        documents = [document for clock in clocks if (document := due_document(clock)) is not None]
        if documents:
            await self.remember({document["department"] for document in documents})
            await self._dues.insert_many(documents, ordered=False, session=session)

    async def renew(self, clocks: Sequence[Clock], session: Session) -> None:
        """Taken out and put in again: two statements for a batch, where a replacement is one for each."""
        if clocks:
            gone = [clock.case_id for clock in clocks]
            await self._dues.delete_many({"_id": {"$in": gone}}, session=session)
            await self.insert(clocks, session)

    async def remember(self, departments: set[str]) -> None:
        """Outside the transaction: a name too many does no harm."""
        for name in departments - self._known:
            await self._departments.update_one({"_id": name}, {"$set": {"_id": name}}, upsert=True)
            self._known.add(name)

    async def count(self, now: datetime) -> tuple[int, int]:
        """How many entries there are, and how many are past their earliest due."""
        with driver_errors():
            overdue = await self._dues.count_documents({"earliest": {"$lte": now}}, hint=_OF_OWNER)
            return await self._dues.estimated_document_count(), overdue

    async def find(
        self,
        due: Due,
        since: datetime | None,
        until: datetime,
        labels: dict[str, str],
        departments: Sequence[str] | None,
        after: Place | None,
        limit: int,
    ) -> list[Place]:
        """Due and case of each, as ClockStore.late says."""
        span: Document = {"$lte": until}
        if since is not None:
            span["$gt"] = since
        query: Document = {due: span} | labels
        if after is not None:
            query |= {due: span | {"$gte": after[0]}, "$or": beyond(due, "$gt", after)}
        if "owner" in labels:
            if departments is not None:
                query["department"] = {"$in": list(departments)}
            query.setdefault("earliest", {"$lte": until})  # none is earlier, and the index is by it
            return await self._page(query, due, _OF_OWNER, limit)
        if departments is None:
            departments = [document["_id"] async for document in self._departments.find()]
        query.setdefault("priority", {"$in": list(PRIORITIES)})
        found: list[Place] = []
        for some in _batches(departments, WALKS // len(PRIORITIES)):
            found += await self._page(query | {"department": {"$in": list(some)}}, due, _walk(due), limit)
        found.sort(key=lambda place: (place[0], place[1].bytes))  # as MongoDB orders UUIDs
        return found[:limit]

    async def _page(self, query: Document, due: Due, index: str, limit: int) -> list[Place]:
        found = self._dues.find(query, {due: 1}).sort([(due, ASCENDING), ("_id", ASCENDING)]).limit(limit)
        return [(document[due], document["_id"]) for document in await found.hint(index).to_list(None)]


def beyond(path: str, operator: str, after: Place) -> list[Document]:
    """What comes after a place in a list that is ordered by `path` and `_id`."""
    moment, identity = after
    return [{path: {operator: moment}}, {path: moment, "_id": {operator: identity}}]


def _walk(due: Due) -> str:
    return f"late_{due}"


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
