"""Facts and rollups, written together in the fenced transaction of a batch.

No two replicas ever write one rollup document: its id holds the lowest partition of the writer's batch,
which only that replica holds. A feedback fact is written by two streams (feedback and cases); when they
meet in the same moment, MongoDB lets one of the two transactions run again with the other's document.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct
from pymongo import IndexModel, ReplaceOne, UpdateOne

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.activity import ActivityFact
from services.analytics.domain.cases import CaseFact, Known
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.facts import Outcome
from services.analytics.domain.feedback import FeedbackFact
from services.analytics.domain.rollups import Deltas, Fact, without_zeros
from services.analytics.domain.targets import TargetFact
from shared.events import (
    ActivityRecorded,
    CaseChanged,
    Event,
    FeedbackReceived,
    TargetBreached,
    TargetFinished,
)
from shared.handler import Batch
from shared.mongo import Database, Document, Session, ensure_indexes

F = TypeVar("F", bound=Fact)
NATIVE = (datetime, UUID)
"""Values that BSON has types of its own for."""


class Changes(Struct, frozen=True):
    """What a batch changes; `slot` names its writer, `seen` is the latest event time in it."""

    slot: str
    topic: str
    seen: datetime | None
    outcome: Outcome


class FactStore:
    """The writing side. `load_*` and `save` work on the session of the batch's transaction only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """An index per KPI on the moment its facts count at: for what the rollups cannot answer.

        Collections without an index of their own are made here too, so that no transaction has to.
        """
        for name in ("rollups", "marks"):
            await ensure_indexes(self._database[name], [IndexModel([("_id", 1)])])
        for kpi in KPIS.values():
            moment = IndexModel([(f"m.{kpi.name}.t", 1)], sparse=True)
            await ensure_indexes(self._database[kpi.collection], [moment])

    async def load_feedback(
        self, batch: Batch[FeedbackReceived], session: Session
    ) -> dict[UUID, FeedbackFact]:
        found = await self._find(
            feedback.COLLECTION, {received.event.id for received in batch.records}, FeedbackFact, session
        )
        return {fact.id: fact for fact in found}

    async def load_activity(
        self, batch: Batch[ActivityRecorded], session: Session
    ) -> dict[UUID, ActivityFact]:
        found = await self._find(
            activity.COLLECTION, {received.event.id for received in batch.records}, ActivityFact, session
        )
        return {fact.id: fact for fact in found}

    async def load_cases(self, batch: Batch[CaseChanged], session: Session) -> Known:
        """The stored cases first: they tell which feedback has to be looked at, usually little of it."""
        events = [received.event for received in batch.records]
        ids = {event.case.id for event in events}
        stored = {fact.id: fact for fact in await self._find(cases.COLLECTION, ids, CaseFact, session)}
        wanted: set[UUID] = set()
        for identity, new in cases.newest(events, stored).items():
            wanted |= cases.touched(stored.get(identity), new)
        found = await self._find(feedback.COLLECTION, wanted, FeedbackFact, session)
        return Known(stored, {fact.id: fact for fact in found})

    async def load_targets(self, batch: Batch[Event], session: Session) -> dict[str, TargetFact]:
        ids = {
            targets.identity(received.event)
            for received in batch.records
            if isinstance(received.event, TargetBreached | TargetFinished)
        }
        found = await self._find(targets.COLLECTION, ids, TargetFact, session)
        return {fact.id: fact for fact in found}

    async def save(self, changes: Changes, session: Session) -> None:
        """Facts, then the rollups that follow from them, then how far this writer has come."""
        outcome = changes.outcome
        for collection, facts in outcome.new.items():
            if facts:
                await self._database[collection].insert_many(
                    [document(fact) for fact in facts], ordered=False, session=session
                )
        for collection, facts in outcome.changed.items():
            if facts:
                replacements = [ReplaceOne({"_id": new["_id"]}, new) for new in map(document, facts)]
                await self._database[collection].bulk_write(replacements, ordered=False, session=session)
        increments = _increments(outcome.deltas, changes.slot)
        if increments:
            await self._database.rollups.bulk_write(increments, ordered=False, session=session)
        if changes.seen is not None:
            mark = {"$max": {"at": changes.seen}, "$set": {"topic": changes.topic}}
            await self._database.marks.update_one({"_id": changes.slot}, mark, upsert=True, session=session)

    async def _find(self, collection: str, ids: Iterable[Any], kind: type[F], session: Session) -> list[F]:
        wanted = list(ids)
        if not wanted:
            return []
        found = self._database[collection].find({"_id": {"$in": wanted}}, session=session)
        return [msgspec.convert(one, kind) for one in await found.to_list(None)]


def document(fact: Fact) -> Document:
    """A fact as MongoDB keeps it."""
    built: Document = msgspec.to_builtins(fact, builtin_types=NATIVE)
    return built


def _increments(deltas: Deltas, slot: str) -> list[UpdateOne]:
    return [
        UpdateOne(
            {"_id": rollup_id(key.kpi, key.part, key.dimension, key.hour) | {"v": key.value, "s": slot}},
            {"$inc": {f"c.{name}": amount for name, amount in sums.items()}},
            upsert=True,
        )
        for key, sums in without_zeros(deltas).items()
    ]


def rollup_id(kpi: str, part: str, dimension: str, hour: int) -> Document:
    """The beginning of a rollup's _id, by which it is found: the order of its fields is that of the index.

    The value and the slot follow; a value may be any text, so it is never a field name.
    """
    return {"k": kpi, "p": part, "d": dimension, "h": hour}
