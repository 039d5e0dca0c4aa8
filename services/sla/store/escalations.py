"""Steps that fired (`escalations`): one document each, never changed.

`_id` begins with the moment of firing: it is the order of every list, and no index holds the moment besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, IndexModel

from services.sla.store.documents import Escalation, escalation_document, escalation_of
from shared.events import EscalationAction, EscalationRaised
from shared.ids import first_document_id
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes

_LISTED_BY = ("case_id", "recipient", "department", "action")
"""Each has an index; of several that a list asks for the first is walked and the others are looked at."""


class EscalationFilter(NamedTuple):
    """What a list asks: steps that fired in [since, until), the latest first.

    None asks for nothing; `departments` are those whose case it may have been. `after` is the last one of the
    page before, `limit` the most that come.
    """

    case_id: UUID | None = None
    recipient: str | None = None
    action: EscalationAction | None = None
    departments: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: UUID | None = None
    limit: int = 50

    @property
    def query(self) -> Document:
        asked = {"case_id": self.case_id, "recipient": self.recipient, "action": self.action}
        query: Document = {name: value for name, value in asked.items() if value is not None}
        if self.departments is not None:
            query["department"] = {"$in": list(self.departments)}
        end = None if self.until is None else first_document_id(self.until)
        ends = [bound for bound in (end, self.after) if bound is not None]
        if ends:
            query["_id"] = {"$lt": min(ends)}
        if self.since is not None:
            query["_id"] = query.get("_id", {}) | {"$gte": first_document_id(self.since)}
        return query


class EscalationStore:
    """`add` runs inside the transaction of a tick."""

    def __init__(self, database: Database) -> None:
        self._escalations = database.escalations

    async def ensure_indexes(self) -> None:
        await ensure_indexes(
            self._escalations,
            [IndexModel([(name, ASCENDING), ("_id", DESCENDING)], name=_by(name)) for name in _LISTED_BY],
            retired=[
                "at_-1__id_-1",
                *(f"{name}_1_at_-1__id_-1" for name in ("case_id", "recipient", "action")),
            ],
        )

    async def add(self, raised: Sequence[EscalationRaised], session: Session) -> None:
        if raised:
            documents = [escalation_document(event) for event in raised]
            await self._escalations.insert_many(documents, ordered=False, session=session)

    async def find(self, wanted: EscalationFilter) -> list[Escalation]:
        query = wanted.query
        index = next((_by(name) for name in _LISTED_BY if name in query), "_id_")
        with driver_errors():
            found = self._escalations.find(query).sort("_id", DESCENDING).limit(wanted.limit).hint(index)
            return [escalation_of(document) for document in await found.to_list(None)]


def _by(name: str) -> str:
    return f"by_{name}"
