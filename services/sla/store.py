"""Clocks and escalations in MongoDB (database PREFIX_sla).

clocks       one document per case, `_id` the case id; indexed by (partition, next_at) for the sweep, and by
             the dues that are still open for lists of what is late. The steps of a target are packed
             (msgpack): nothing looks for one, and a document costs a third of the time
departments  the names that clocks have had, `_id` alone: lists of all walk the index of each
escalations  one document per step that fired, never changed; `_id` is ordered by the time of firing
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne

from services.sla.domain.clock import Clock, ClockStep
from shared.errors import Fenced
from shared.events import EscalationRaised, Priority
from shared.ids import document_id
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes

Due = Literal["earliest", "first_response", "update", "resolution", "ola"]
DUES: tuple[Due, ...] = ("earliest", "first_response", "update", "resolution", "ola")
PRIORITIES: tuple[Priority, ...] = ("P1", "P2", "P3", "P4")
WALKS = 200
"""Walks along an index that MongoDB merges (internalQueryMaxScansToExplode); with more it sorts them all."""
_BSON_TYPES = (datetime, UUID)


class Escalation(msgspec.Struct, frozen=True):
    """A step that fired, as it is kept; `event_id` is that of its EscalationRaised."""

    id: UUID = msgspec.field(name="_id")
    event_id: UUID
    case_id: UUID
    target: str
    epoch: int
    step: int
    repetition: int
    action: str
    recipient: str
    due_at: datetime
    step_at: datetime
    at: datetime
    department: str
    owner: str
    priority: str

    @classmethod
    def of(cls, event: EscalationRaised) -> Escalation:
        labels = event.labels
        return cls(
            document_id(event.at, event.id), event.id, event.case_id, event.target, event.epoch, event.step,
            event.repetition, event.action, event.recipient, event.due_at, event.step_at, event.at,
            labels.department, labels.owner, labels.priority,
        )  # fmt: skip


@dataclass(slots=True)
class Changes:
    """What a decision leaves behind: clocks that are new, clocks that moved on, steps that fired."""

    new: list[Clock] = field(default_factory=list)
    moved: list[Clock] = field(default_factory=list)
    raised: list[EscalationRaised] = field(default_factory=list)


class ClockStore:
    """All that the service keeps. `load*` and `save` run inside the transaction of a batch or a tick."""

    def __init__(self, database: Database) -> None:
        self._clocks = database.clocks
        self._escalations = database.escalations
        self._departments = database.departments
        self._known: set[str] = set()

    async def ensure_indexes(self) -> None:
        """Partial indexes: a clock that waits for nothing costs them nothing.

        Lists of what is late walk one index per kind of due, a department and a priority at a time, each in
        the order of its dues; MongoDB merges the walks (`late`). An owner's are few enough to be sorted.
        """
        await ensure_indexes(
            self._clocks,
            [
                IndexModel(
                    [("partition", ASCENDING), ("next_at", ASCENDING)],
                    partialFilterExpression={"next_at": {"$exists": True}},
                ),
                IndexModel(
                    [("labels.owner", ASCENDING), ("open_dues.earliest", ASCENDING)],
                    partialFilterExpression={"open_dues.earliest": {"$exists": True}},
                ),
                *(
                    IndexModel(
                        [
                            ("labels.department", ASCENDING), ("labels.priority", ASCENDING),
                            (f"open_dues.{due}", ASCENDING), ("_id", ASCENDING),
                        ],
                        name=_walk(due),
                        partialFilterExpression={f"open_dues.{due}": {"$exists": True}},
                    )
                    for due in DUES
                ),
            ],
        )  # fmt: skip
        await ensure_indexes(
            self._escalations,
            [
                IndexModel([("at", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([("case_id", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([("recipient", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([("action", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
            ],
        )

    async def load(self, case_ids: Collection[UUID], session: Session) -> dict[UUID, Clock]:
        """The clocks of these cases, where there are any."""
        found = self._clocks.find({"_id": {"$in": list(case_ids)}}, session=session)
        return {document["_id"]: clock_of(document) for document in await found.to_list(None)}

    async def load_due(
        self, partitions: Collection[int], now: datetime, limit: int, session: Session
    ) -> list[Clock]:
        """Clocks with something to say by `now`, the longest overdue first."""
        found = (
            self._clocks.find(_due(partitions, now), session=session).sort("next_at", ASCENDING).limit(limit)
        )
        return [clock_of(document) for document in await found.to_list(None)]

    async def save(self, changes: Changes, session: Session) -> None:
        """Write what a decision changed, each clock only over the version that it was decided from.

        Raises Fenced when another writer was there in between.
        """
        await self.remember({clock.labels.department for clock in (*changes.new, *changes.moved)})
        if changes.new:
            await self._clocks.insert_many([clock_document(clock) for clock in changes.new], session=session)
        if changes.moved:
            replacements = [
                ReplaceOne({"_id": clock.case_id, "version": clock.version - 1}, clock_document(clock))
                for clock in changes.moved
            ]
            result = await self._clocks.bulk_write(replacements, ordered=False, session=session)
            if result.matched_count != len(replacements):
                raise Fenced("sla: a clock was moved by another replica")
        if changes.raised:
            documents = [_written(Escalation.of(event)) for event in changes.raised]
            await self._escalations.insert_many(documents, session=session)

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

    async def late(
        self,
        due: Due,
        until: datetime,
        labels: dict[str, str],
        departments: Sequence[str] | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Clock]:
        """Clocks whose open due `due` is not after `until`, the most overdue first.

        `labels` must be equal, the department one of `departments` (None: any); `after` is the due and case
        id of the last one of the page before.
        """
        path, equal = f"open_dues.{due}", {f"labels.{name}": value for name, value in labels.items()}
        query: Document = {path: {"$lte": until}} | equal
        if after is not None:
            query |= {path: {"$lte": until, "$gte": after[0]}, "$or": _beyond(path, "$gt", after)}
        with driver_errors():
            if "owner" in labels:
                if departments is not None:
                    query["labels.department"] = {"$in": departments}
                query.setdefault(
                    "open_dues.earliest", {"$lte": until}
                )  # none is earlier; by it the index runs
                return await self._page(query, path, "labels.owner_1_open_dues.earliest_1", limit)
            if departments is None:
                departments = [document["_id"] async for document in self._departments.find()]
            query.setdefault("labels.priority", {"$in": list(PRIORITIES)})
            found: list[Clock] = []
            for some in _batches(departments, WALKS // len(PRIORITIES)):
                some_query = query | {"labels.department": {"$in": some}}
                found += await self._page(some_query, path, _walk(due), limit)
        return sorted(found, key=lambda clock: _position(clock, due))[:limit]

    async def remember(self, departments: set[str]) -> None:
        """Departments that clocks are of. Outside the transaction: one too many does no harm."""
        for name in departments - self._known:
            await self._departments.update_one({"_id": name}, {"$set": {"_id": name}}, upsert=True)
            self._known.add(name)

    async def _page(self, query: Document, path: str, index: str, limit: int) -> list[Clock]:
        found = self._clocks.find(query).sort([(path, ASCENDING), ("_id", ASCENDING)]).limit(limit)
        return [clock_of(document) for document in await found.hint(index).to_list(None)]

    async def escalations(
        self,
        equal: dict[str, Any],
        departments: Sequence[str] | None,
        since: datetime | None,
        until: datetime | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Escalation]:
        """Steps that fired in [since, until), the latest first; `departments` and `after` as in `late`."""
        query: Document = dict(equal)
        if departments is not None:
            query["department"] = {"$in": departments}
        bounds = {"$gte": since, "$lt": until, "$lte": after[0] if after else None}
        span = {operator: bound for operator, bound in bounds.items() if bound is not None}
        if span:
            query["at"] = span
        if after is not None:
            query["$or"] = _beyond("at", "$lt", after)
        with driver_errors():
            found = self._escalations.find(query).sort([("at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
            return [msgspec.convert(document, Escalation) for document in await found.to_list(None)]


def _walk(due: Due) -> str:
    return f"late_{due}"


def _position(clock: Clock, due: Due) -> tuple[datetime, bytes]:
    """Where a clock stands in a list of what is late; MongoDB orders UUIDs by their bytes."""
    assert clock.open_dues is not None, "it was found by an open due"
    moment: datetime = getattr(clock.open_dues, due)
    return moment, clock.case_id.bytes


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _due(partitions: Iterable[int], now: datetime) -> Document:
    return {"partition": {"$in": list(partitions)}, "next_at": {"$lte": now}}


def _beyond(path: str, operator: str, after: tuple[datetime, UUID]) -> list[Document]:
    moment, identity = after
    return [{path: {operator: moment}}, {path: moment, "_id": {operator: identity}}]


def clock_document(clock: Clock) -> Document:
    """A clock as it is kept."""
    bare = {name: replace(target, steps=()) for name, target in clock.targets.items()}
    document = _written(replace(clock, targets=bare))
    for name, target in clock.targets.items():
        if target.steps:
            document["targets"][name]["steps"] = _pack(target.steps)
    return document


def clock_of(document: Document) -> Clock:
    """What `clock_document` kept."""
    packed = {
        name: target.pop("steps") for name, target in document.get("targets", {}).items() if "steps" in target
    }
    clock = msgspec.convert(document, Clock)
    for name, steps in packed.items():
        clock.targets[name] = replace(clock.targets[name], steps=_unpack(steps))
    return clock


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[ClockStep, ...]).decode


def _written(value: msgspec.Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=_BSON_TYPES)
    return document
