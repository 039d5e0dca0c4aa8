"""Routing's collections: feedback (what became of it), cases, case_history, pools, absences, policies."""

from __future__ import annotations

from pymongo import ASCENDING, DESCENDING, IndexModel

from services.routing.store import listing
from services.routing.store.due import Due
from services.routing.store.organisation import Organisation
from services.routing.store.reading import ORIGINS, Reading
from services.routing.store.working import Working
from shared.mongo import ensure_indexes


class CaseStore(Working, Reading, Due, Organisation):
    """All that routing stores, by who asks: decisions, people, time, the organisation. Methods that take a
    session belong to a transaction."""

    async def prepare(self) -> None:
        """Indexes; the history needs none, because its ids begin with the case's."""
        indexes = [
            *listing.indexes(),
            IndexModel("reference", unique=True),
            *(
                IndexModel(
                    [(origin, ASCENDING), ("_id", DESCENDING)],
                    partialFilterExpression={origin: {"$gt": ""}},
                    name=f"of one {origin}",
                )
                for origin in ORIGINS.values()
            ),
            IndexModel(
                [
                    ("books.waiting", ASCENDING),
                    ("department", ASCENDING),
                    ("priority", ASCENDING),
                    ("opened_at", ASCENDING),
                ],
                partialFilterExpression={"books.waiting": True},
                name="queues",
            ),
            IndexModel(
                "books.acknowledge_by",
                partialFilterExpression={"books.acknowledge_by": {"$type": "date"}},
                name="unacknowledged",
            ),
            IndexModel("resolved_at", partialFilterExpression={"status": "resolved"}, name="resolved"),
        ]
        await ensure_indexes(self._cases, indexes, listing.RETIRED)
        unsaid = IndexModel("at", partialFilterExpression={"outbox": {"$exists": True}}, name="unsaid")
        await ensure_indexes(self._history, [unsaid])
