"""Clocks and escalations in MongoDB (database PREFIX_sla).

clocks       one document per case, `_id` the case id; indexed by (partition, next_at) for the sweep, and by
             the dues that are still open for lists of what is late
escalations  one document per step that fired, never changed; `_id` is ordered by the time of firing
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne

from services.sla.domain.clock import Clock
from shared.errors import Fenced
from shared.events import EscalationRaised
from shared.ids import document_id
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes

T = TypeVar("T")

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

    async def ensure_indexes(self) -> None:
        """Partial indexes: a clock that waits for nothing costs them nothing."""
        open_dues = ("earliest", "first_response", "resolution")
        await ensure_indexes(
            self._clocks,
            [
                IndexModel(
                    [("partition", ASCENDING), ("next_at", ASCENDING)],
                    partialFilterExpression={"next_at": {"$exists": True}},
                ),
                *(
                    IndexModel(
                        [(f"open_dues.{due}", ASCENDING), ("_id", ASCENDING)],
                        partialFilterExpression={f"open_dues.{due}": {"$exists": True}},
                    )
                    for due in open_dues
                ),
            ],
        )
        await ensure_indexes(
            self._escalations,
            [
                IndexModel([("at", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([("case_id", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([("recipient", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
            ],
        )

    async def load(self, case_ids: Collection[UUID], session: Session) -> dict[UUID, Clock]:
        """The clocks of these cases, where there are any."""
        found = self._clocks.find({"_id": {"$in": list(case_ids)}}, session=session)
        return {document["_id"]: _read(document, Clock) for document in await found.to_list(None)}

    async def load_due(
        self, partitions: Collection[int], now: datetime, limit: int, session: Session
    ) -> list[Clock]:
        """Clocks with something to say by `now`, the longest overdue first."""
        found = (
            self._clocks.find(_due(partitions, now), session=session).sort("next_at", ASCENDING).limit(limit)
        )
        return [_read(document, Clock) for document in await found.to_list(None)]

    async def save(self, changes: Changes, session: Session) -> None:
        """Write what a decision changed, each clock only over the version that it was decided from.

        Raises Fenced when another writer was there in between.
        """
        if changes.new:
            await self._clocks.insert_many([_written(clock) for clock in changes.new], session=session)
        if changes.moved:
            replacements = [
                ReplaceOne({"_id": clock.case_id, "version": clock.version - 1}, _written(clock))
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
        return None if document is None else _read(document, Clock)

    async def late(
        self,
        due: str,
        until: datetime,
        labels: dict[str, str],
        departments: Sequence[str] | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Clock]:
        """Clocks whose open due `due` (earliest, first_response, resolution) is not after `until`.

        `labels` must be equal, the department one of `departments` (None: any); `after` is the due and case
        id of the last one of the page before.
        """
        path = f"open_dues.{due}"
        query: Document = {path: {"$lte": until}} | {
            f"labels.{name}": value for name, value in labels.items()
        }
        if departments is not None:
            query["labels.department"] = {"$in": departments}
        if after is not None:
            query |= {path: {"$lte": until, "$gte": after[0]}, "$or": _beyond(path, "$gt", after)}
        with driver_errors():
            found = self._clocks.find(query).sort([(path, ASCENDING), ("_id", ASCENDING)]).limit(limit)
            return [_read(document, Clock) for document in await found.to_list(None)]

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
            return [_read(document, Escalation) for document in await found.to_list(None)]


def _due(partitions: Iterable[int], now: datetime) -> Document:
    return {"partition": {"$in": list(partitions)}, "next_at": {"$lte": now}}


def _beyond(path: str, operator: str, after: tuple[datetime, UUID]) -> list[Document]:
    moment, identity = after
    return [{path: {operator: moment}}, {path: moment, "_id": {operator: identity}}]


def _written(value: msgspec.Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=_BSON_TYPES)
    return document


def _read(document: Document, kind: type[T]) -> T:
    return msgspec.convert(document, kind)
