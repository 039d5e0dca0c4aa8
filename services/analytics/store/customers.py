"""Everything of one customer, read from three collections by an index on customer and time each."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from typing import Any
from uuid import UUID

import msgspec
from pymongo import IndexModel

from services.analytics.domain.activity import ActivityFact
from services.analytics.domain.cases import CaseFact
from services.analytics.domain.customers import (
    TYPES,
    Answered,
    CaseEntry,
    CustomerFigures,
    DoneEntry,
    Entry,
    EntryType,
    Place,
    SaidEntry,
    Score,
    csat_means,
    last_nps,
)
from services.analytics.domain.feedback import FeedbackFact
from services.analytics.domain.tallies import ACTIVITY_FACTS, CASE_FACTS, FEEDBACK_FACTS
from services.analytics.store.documents import fact_of
from services.analytics.store.snapshots import snapshot
from shared.mongo import Database, Document, Session, ensure_indexes

Seen = Collection[str] | None
"""The departments that the caller sees; None for all."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where entries of one type are kept, and by which fields they are found."""

    type: EntryType
    collection: str
    customer: str
    at: str
    department: str
    shared: bool
    read: Callable[[Document, Seen], Entry]

    @property
    def index(self) -> IndexModel:
        """Entries of a customer in the order of time; of those who have an id alone."""
        keys = [(self.customer, 1), (self.at, 1), ("_id", 1)]
        return IndexModel(keys, partialFilterExpression={self.customer: {"$gt": ""}})

    def of(self, customer: str, seen: Seen) -> Document:
        """The query of what a caller sees; what belongs to no department may be `shared`."""
        query: Document = {self.customer: customer}
        if seen is not None:
            query[self.department] = {"$in": [*sorted(seen), *([""] if self.shared else [])]}
        return query


def _said(document: Document, seen: Seen) -> Entry:
    fact = fact_of(document, FeedbackFact)
    said, links = fact.said, fact.links.items()
    assert said is not None, "the index has no others"
    cases = [str(UUID(case)) for case, link in links if seen is None or link.department in seen]
    rating = None if said.rating is None else Score(**msgspec.structs.asdict(said.rating))
    return SaidEntry(
        id=str(fact.id), at=said.at, labels=fact.d, order_id=said.order_id, rating=rating,
        cases=sorted(cases),
    )  # fmt: skip


def _done(document: Document, seen: Seen) -> Entry:
    fact = fact_of(document, ActivityFact)
    return DoneEntry(
        id=str(fact.id), at=fact.at, kind=fact.kind, quantity=fact.quantity, external_id=fact.external_id,
        labels={
            "department": fact.department, "source": fact.source, "supplier": fact.supplier_id,
            "product_model": fact.product.model, "product_batch": fact.product.batch,
            "sku": fact.product.sku,
        },
    )  # fmt: skip


def _case(document: Document, seen: Seen) -> Entry:
    fact = fact_of(document, CaseFact)
    state = fact.state
    assert state is not None, "the index has no others"
    return CaseEntry(
        id=str(fact.id), at=state.opened_at, reference=state.reference, status=state.status,
        labels=state.labels, feedback=[str(one) for one in state.feedback_ids],
        cause_code=state.cause_code, first_reply_at=state.first_reply_at, resolved_at=state.resolved_at,
        closed_at=state.closed_at, satisfied=state.satisfied,
    )  # fmt: skip


ACTIVITY = Source("activity", ACTIVITY_FACTS, "customer_id", "at", "department", True, _done)
SAID = Source("feedback", FEEDBACK_FACTS, "said.customer_id", "said.at", "d.department", True, _said)
CASE = Source("case", CASE_FACTS, "state.customer_id", "state.opened_at", "d.department", False, _case)
SOURCES = (ACTIVITY, SAID, CASE)


class CustomerStore:
    """The customers that facts tell of. Whoever sees some departments sees the customers of these."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        for source in SOURCES:
            await ensure_indexes(self._database[source.collection], [source.index])

    async def read(
        self, customer: str, seen: Seen, after: Place | None, limit: int, *, newest_first: bool
    ) -> tuple[CustomerFigures, list[Entry]] | None:
        """Figures, and the first `limit` entries after a place; None for a customer nobody here knows of."""
        async with snapshot(self._database) as session:
            if not customer or not await self._known(customer, seen, session):
                return None
            lists = []
            for source in SOURCES:
                query = source.of(customer, seen) | _after(source, after, newest_first)
                lists.append(await self._entries(source, query, seen, limit, newest_first, session))
            figures = await self._figures(customer, seen, session)
        return figures, list(merge(*lists, key=_order, reverse=newest_first))[:limit]

    async def _known(self, customer: str, seen: Seen, session: Session) -> bool:
        """Whether the caller sees a case or a feedback of a department; or anything, who sees all."""
        for source in SOURCES if seen is None else (CASE, SAID):
            query: Document = {source.customer: customer}
            if seen is not None:
                query[source.department] = {"$in": sorted(seen)}
            if await self._database[source.collection].find_one(query, {"_id": 1}, session=session):
                return True
        return False

    async def _entries(
        self, source: Source, query: Document, seen: Seen, limit: int, newest_first: bool, session: Session
    ) -> list[Entry]:
        way = -1 if newest_first else 1
        found = self._database[source.collection].find(query, session=session)
        documents = await found.sort([(source.at, way), ("_id", way)]).limit(limit).to_list(None)
        return [source.read(one, seen) for one in documents]

    async def _figures(self, customer: str, seen: Seen, session: Session) -> CustomerFigures:
        cases = await self._grouped(CASE, customer, seen, "$open", session)
        done = await self._grouped(ACTIVITY, customer, seen, "$kind", session)
        said = await self._grouped(SAID, customer, seen, "$said.rating", session)
        answers = [msgspec.convert(one, Answered) for one in said if one["_id"] is not None]
        contacts = [one["last"] for one in (*said, *(one for one in done if one["_id"] == "contact"))]
        return CustomerFigures(
            cases=_sum(cases), open=_sum(one for one in cases if one["_id"]),
            feedback=_sum(said), orders=_sum(one for one in done if one["_id"] == "order"),
            nps_last=last_nps(answers), csat=csat_means(answers), last_contact=max(contacts, default=None),
        )  # fmt: skip

    async def _grouped(
        self, source: Source, customer: str, seen: Seen, by: str, session: Session
    ) -> list[Document]:
        """How many entries, and the last one's time, of each value of a field."""
        group = {"_id": by, "n": {"$sum": 1}, "last": {"$max": f"${source.at}"}}
        steps = [{"$match": source.of(customer, seen)}, {"$group": group}]
        found: list[Document] = await (
            self._database[source.collection].aggregate(steps, session=session).to_list(None)
        )
        return found


def _order(entry: Entry) -> tuple[datetime, int]:
    return entry.at, TYPES.index(entry.type)


def place_of(entry: Entry) -> Place:
    return Place(entry.at, entry.type, UUID(entry.id))


def _after(source: Source, after: Place | None, newest_first: bool) -> Document:
    """What stands behind a place, in one direction; entries of one moment go by type, then by id."""
    if after is None:
        return {}
    beyond, or_at = ("$lt", "$lte") if newest_first else ("$gt", "$gte")
    if source.type == after.type:
        here = {source.at: after.at, "_id": {beyond: after.id}}
        return {"$or": [{source.at: {beyond: after.at}}, here]}
    later = TYPES.index(source.type) > TYPES.index(after.type)
    return {source.at: {or_at if later != newest_first else beyond: after.at}}


def _sum(groups: Any) -> int:
    return sum(one["n"] for one in groups)
