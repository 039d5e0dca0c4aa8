"""Facts, and the segment of what they count for, written together in the fenced transaction of a batch.

A segment is only ever inserted, so no two replicas write one document of counts. A feedback fact is written
by two streams (feedback and cases), and so are case facts and joints; when two transactions meet in one
document, MongoDB lets one of them run again with the other's result.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from msgspec import Struct
from pymongo import IndexModel, ReplaceOne, UpdateOne
from pymongo.errors import CollectionInvalid, OperationFailure

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.activity import ActivityFact
from services.analytics.domain.cases import CaseFact
from services.analytics.domain.facts import Outcome
from services.analytics.domain.feedback import FeedbackFact
from services.analytics.domain.joints import JointFact
from services.analytics.domain.rows import Fact, Row
from services.analytics.domain.tallies import (
    ACTIVITY_FACTS,
    CASE_FACTS,
    COLLECTIONS,
    FEEDBACK_FACTS,
    JOINT_FACTS,
    TALLIES,
    TARGET_FACTS,
    VOICE,
)
from services.analytics.domain.targets import TargetFact
from services.analytics.store.documents import document, fact_of, reveal_terms
from services.analytics.store.evidence import BY_TIME
from services.analytics.store.packed import columns
from shared.events import (
    ActivityRecorded,
    CaseChanged,
    EscalationRaised,
    Event,
    FeedbackReceived,
    TargetBreached,
    TargetFinished,
)
from shared.handler import Batch
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes
from shared.sealing import Seals

F = TypeVar("F", bound=Fact)
_NAMESPACE_EXISTS = 48
COUNTED = TALLIES | {VOICE.name: VOICE}
PACKED = ("days", "weeks", "chunks")
"""Read by ranges of their ids: the documents themselves stand in that order."""


class Changes(Struct, frozen=True):
    """What a batch changes; `writer` is its lowest partition, `first` that one's first offset in the batch.

    `seen` is the latest event time per partition ("topic/number").
    """

    writer: str
    first: int
    seen: dict[str, datetime]
    outcome: Outcome


class FactStore:
    """The writing side. `load_*` and `save` work on the session of the batch's transaction only.

    `database` is that of the generation which is written (generation.py); `seals` are those of the terms.
    """

    def __init__(self, database: Database, seals: Seals) -> None:
        self.database, self._seals = database, seals

    async def prepare(self) -> None:
        """An index per collection on what its facts count for and when: for drill-down and recomputation.

        Collections without an index of their own are made here too, so that no transaction has to.
        """
        with driver_errors():
            there = await self.database.list_collection_names()
            for name in PACKED:
                if name not in there:
                    await self._clustered(name)
        for name in ("segments", "words", "marks", "leases", "voice", ACTIVITY_FACTS):
            await ensure_indexes(self.database[name], [IndexModel([("_id", 1)])])
        counted = IndexModel(BY_TIME)
        for name in COLLECTIONS:
            if name != ACTIVITY_FACTS:
                await ensure_indexes(self.database[name], [counted])
        still_open = IndexModel([("state.opened_at", 1)], partialFilterExpression={"open": True})
        await ensure_indexes(self.database[CASE_FACTS], [still_open])

    async def _clustered(self, name: str) -> None:
        try:
            await self.database.create_collection(name, clusteredIndex={"key": {"_id": 1}, "unique": True})
        except CollectionInvalid:
            return  # it is there
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:  # another replica was first, in this very moment
                raise

    async def load_feedback(self, batch: Batch[FeedbackReceived], session: Session) -> feedback.Known:
        events = [received.event for received in batch.records]
        found = await self._find(FEEDBACK_FACTS, {event.id for event in events}, FeedbackFact, session)
        parts = {told.joint for event in events for told in feedback.told(event)}
        return feedback.Known({fact.id: fact for fact in found}, await self._joints(parts, session))

    async def load_activity(self, batch: Batch[ActivityRecorded], session: Session) -> activity.Known:
        events = [received.event for received in batch.records]
        found = await self._find(ACTIVITY_FACTS, {event.id for event in events}, ActivityFact, session)
        parts = {told.joint for event in events for told in activity.told(event)}
        return activity.Known({fact.id: fact for fact in found}, await self._joints(parts, session))

    async def load_cases(self, batch: Batch[CaseChanged], session: Session) -> cases.Known:
        """The stored cases first: they tell which feedback has to be looked at, usually little of it."""
        events = [received.event for received in batch.records]
        stored = await self._cases({event.case.id for event in events}, session)
        wanted: set[UUID] = set()
        parts: set[str] = set()
        newest = cases.newest(events, stored)
        for identity, new in newest.items():
            old = stored.get(identity)
            wanted |= cases.touched(old, new)
            parts |= {told.joint for told in cases.told(old, new)}
        found = await self._find(FEEDBACK_FACTS, wanted, FeedbackFact, session)
        joints = await self._joints(parts, session)
        return cases.Known(stored, {fact.id: fact for fact in found}, joints, newest)

    async def load_targets(self, batch: Batch[Event], session: Session) -> targets.Known:
        events = [received.event for received in batch.records]
        ids = {targets.identity(e) for e in events if isinstance(e, TargetBreached | TargetFinished)}
        found = await self._find(TARGET_FACTS, ids, TargetFact, session)
        raised = {e.case_id for e in events if isinstance(e, EscalationRaised) and targets.escalates(e)}
        return targets.Known({fact.id: fact for fact in found}, await self._cases(raised, session))

    async def save(self, changes: Changes, session: Session) -> None:
        """Facts, then the segment of what they count for, then how far the partitions have come."""
        outcome = changes.outcome
        for collection, facts in outcome.new.items():
            if facts:
                await self.database[collection].insert_many(
                    [document(fact, self._seals) for fact in facts], ordered=False, session=session
                )
        for collection, facts in outcome.changed.items():
            if facts:
                documents = [document(fact, self._seals) for fact in facts]
                replacements = [ReplaceOne({"_id": new["_id"]}, new) for new in documents]
                await self.database[collection].bulk_write(replacements, ordered=False, session=session)
        if outcome.rows:
            identity = f"{changes.writer}/{changes.first:019}"
            await self.database.segments.insert_one(
                {"_id": identity, "t": shares(outcome.rows)}, session=session
            )
        if changes.seen:
            marks = [
                UpdateOne({"_id": partition}, {"$max": {"at": at}}, upsert=True)
                for partition, at in changes.seen.items()
            ]
            await self.database.marks.bulk_write(marks, ordered=False, session=session)

    async def _cases(self, ids: Iterable[UUID], session: Session) -> dict[UUID, CaseFact]:
        return {fact.id: fact for fact in await self._find(CASE_FACTS, ids, CaseFact, session)}

    async def _joints(self, ids: Iterable[str], session: Session) -> dict[str, JointFact]:
        return {fact.id: fact for fact in await self._find(JOINT_FACTS, ids, JointFact, session)}

    async def _find(self, collection: str, ids: Iterable[Any], kind: type[F], session: Session) -> list[F]:
        wanted = list(ids)
        if not wanted:
            return []
        found = await self.database[collection].find({"_id": {"$in": wanted}}, session=session).to_list(None)
        if collection == FEEDBACK_FACTS:
            for stored in found:
                reveal_terms(stored, self._seals)
        return [fact_of(one, kind) for one in found]


def shares(rows: Iterable[Row]) -> Document:
    """What a batch counts, packed, by tally."""
    by_tally: dict[str, list[Row]] = {}
    for row in rows:
        by_tally.setdefault(row.measure.k, []).append(row)
    return {name: columns(some, COUNTED[name]) for name, some in by_tally.items()}
