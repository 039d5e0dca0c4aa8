"""What is late, as lists ask for it: one small document per case with an open due (`dues`).

It stands apart from the clock (docs/adr/0023-what-is-late-stands-apart.md): the sweep writes clocks all day
and changes no due, and whoever writes a document pays for every index of its collection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple
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
NAMES_FRESH_SECONDS = 5.0
"""So long the names of the departments are remembered; a list that asks for none walks each of them."""
_OF_OWNER = "late_of_owner"
Place = tuple[datetime, UUID]


class LateFilter(NamedTuple):
    """What a list asks: cases whose open due `due` lies in (since, until], the most overdue first.

    None asks for nothing; `departments` are those that the case may be of. `after` is the place of the last
    one of the page before, `limit` the most that come.
    """

    until: datetime
    due: Due = "earliest"
    since: datetime | None = None
    owner: str | None = None
    priority: Priority | None = None
    departments: Sequence[str] | None = None
    after: Place | None = None
    limit: int = 50

    @property
    def span(self) -> Document:
        """When it is due; what comes in the moment of `after` itself is asked for by _page."""
        since = max(filter(None, (self.since, self.after and self.after[0])), default=None)
        return {"$lte": self.until} if since is None else {"$lte": self.until, "$gt": since}


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
        self._listed: list[str] = []
        self._names_until = 0.0

    async def ensure_indexes(self) -> None:
        """One walk per kind of due, a department and a priority at a time, each in the order of its dues.

        MongoDB merges the walks. An owner's entries are one walk in the order of their earliest dues; by
        another due they are sorted, which reads their keys alone: all that a list asks is in them.
        """
        walks = [
            IndexModel(
                [("department", ASCENDING), ("priority", ASCENDING), (due, ASCENDING), ("_id", ASCENDING)],
                name=_walk(due),
                partialFilterExpression={due: {"$exists": True}},
            )
            for due in DUES
        ]
        covered = ("owner", "earliest", "_id", "priority", "department", *DUES[1:])
        owners = IndexModel([(name, ASCENDING) for name in covered], name=_OF_OWNER)
        await ensure_indexes(self._dues, [owners, *walks], retired=["owner"])

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
            self._names_until = 0.0

    async def count(self, now: datetime) -> tuple[int, int]:
        """How many entries there are, and how many are past their earliest due."""
        with driver_errors():
            overdue = await self._dues.count_documents({"earliest": {"$lte": now}}, hint=_OF_OWNER)
            return await self._dues.estimated_document_count(), overdue

    async def find(self, wanted: LateFilter) -> list[Place]:
        """Due and case of each."""
        labels = {"owner": wanted.owner, "priority": wanted.priority}
        query: Document = {name: value for name, value in labels.items() if value is not None}
        if wanted.owner is not None:
            if wanted.departments is not None:
                query["department"] = {"$in": list(wanted.departments)}
            if wanted.due != "earliest":
                query["earliest"] = {"$lte": wanted.until}  # none is earlier, and the index is by it
            return await self._page(wanted, query, _OF_OWNER)
        query.setdefault("priority", {"$in": list(PRIORITIES)})
        found: list[Place] = []
        names = await self._names() if wanted.departments is None else wanted.departments
        for some in _batches(names, WALKS // len(PRIORITIES)):
            found += await self._page(wanted, query | {"department": {"$in": list(some)}}, _walk(wanted.due))
        found.sort(key=lambda place: (place[0], place[1].bytes))  # as MongoDB orders UUIDs
        return found[: wanted.limit]

    async def _names(self) -> list[str]:
        """Departments that have ever had an entry."""
        if time.monotonic() > self._names_until:
            self._listed = [document["_id"] async for document in self._departments.find()]
            self._names_until = time.monotonic() + NAMES_FRESH_SECONDS
        return self._listed

    async def _page(self, wanted: LateFilter, query: Document, index: str) -> list[Place]:
        """What comes after a place is asked for in two parts: of `$or` MongoDB makes twice the walks, and
        sorts all that they find when there are too many."""
        found: list[Place] = []
        if wanted.after is not None:
            moment, identity = wanted.after
            ties = query | {wanted.due: moment, "_id": {"$gt": identity}}
            found = await self._walked(ties, wanted.due, ["_id"], index, wanted.limit)
        if len(found) < wanted.limit:
            rest = wanted.limit - len(found)
            found += await self._walked(
                query | {wanted.due: wanted.span}, wanted.due, [wanted.due, "_id"], index, rest
            )
        return found

    async def _walked(
        self, query: Document, due: Due, order: Sequence[str], index: str, limit: int
    ) -> list[Place]:
        found = self._dues.find(query, {due: 1}).sort([(name, ASCENDING) for name in order]).limit(limit)
        return [(document[due], document["_id"]) for document in await found.hint(index).to_list(None)]


def _walk(due: Due) -> str:
    return f"late_{due}"


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
