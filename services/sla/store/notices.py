"""Notices in MongoDB: what waits to be told (`waiting`), and what was told (`notices`).

`_id` of a notice begins with its moment and is the order of the lists, as for escalations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from pymongo import ASCENDING, DESCENDING, IndexModel

from services.sla.domain.notice import WINDOW, Notice, Waiting
from services.sla.store.documents import written
from shared.errors import Fenced
from shared.ids import first_document_id
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes


class NoticeStore:
    """`add`, `load`, `known` and `settle` run inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._waiting = database.waiting
        self._notices = database.notices

    async def ensure_indexes(self) -> None:
        await ensure_indexes(self._waiting, [IndexModel([("tell_at", ASCENDING)])])
        of_one = [("recipient", ASCENDING), ("_id", DESCENDING)]
        await ensure_indexes(
            self._notices, [IndexModel(of_one)], retired=["at_-1__id_-1", "recipient_1_at_-1__id_-1"]
        )

    async def add(self, waits: Sequence[Waiting], session: Session) -> None:
        if waits:
            await self._waiting.insert_many([written(one) for one in waits], session=session)

    async def any_due(self, now: datetime) -> bool:
        with driver_errors():
            return await self._waiting.find_one({"tell_at": {"$lte": now}}, {"_id": 1}) is not None

    async def load(self, now: datetime, limit: int, session: Session) -> list[Waiting]:
        """What is to be told by now, in the order in which it may be."""
        found = self._waiting.find({"tell_at": {"$lte": now}}, session=session).sort("tell_at", ASCENDING)
        return [msgspec.convert(document, Waiting) for document in await found.limit(limit).to_list(None)]

    async def known(self, recipients: Sequence[str], now: datetime, session: Session) -> dict[str, int]:
        """For each, its notices within WINDOW and the steps that wait for the next minute."""
        wanted: Document = {"recipient": {"$in": list(recipients)}}
        told: list[Document] = [
            {"$match": wanted | {"_id": {"$gt": first_document_id(now - WINDOW)}}},
            {"$group": {"_id": "$recipient", "n": {"$sum": 1}}},
        ]
        waits: list[Document] = [
            {"$match": wanted | {"tell_at": {"$gt": now}}},
            {"$group": {"_id": "$recipient", "n": {"$sum": {"$size": "$escalations"}}}},
        ]
        counts: Counter[str] = Counter()
        for found in (
            self._notices.aggregate(told, session=session),
            self._waiting.aggregate(waits, session=session),
        ):
            counts.update({document["_id"]: document["n"] for document in await found.to_list(None)})
        return counts

    async def settle(
        self,
        waits: Sequence[Waiting],
        notices: Sequence[Notice],
        postponed: Sequence[Waiting],
        session: Session,
    ) -> None:
        """Raises Fenced when another replica has told one of them meanwhile."""
        gone = await self._waiting.delete_many({"_id": {"$in": [one.id for one in waits]}}, session=session)
        if gone.deleted_count != len(waits):
            raise Fenced("sla: another replica tells this")
        if notices:
            await self._notices.insert_many([written(one) for one in notices], session=session)
        await self.add(postponed, session)

    async def find(
        self,
        recipient: str | None,
        departments: Sequence[str] | None,
        after: UUID | None,
        limit: int,
        steps: int,
    ) -> list[Notice]:
        """The latest first; of `departments` alone (None: any), `after` the last one of the page before.

        Of each come its first `steps` ids.
        """
        query: Document = {} if recipient is None else {"recipient": recipient}
        if departments is not None:
            query["departments"] = {"$not": {"$elemMatch": {"$nin": list(departments)}}}
        if after is not None:
            query["_id"] = {"$lt": after}
        with driver_errors():
            found = (
                self._notices.find(query, {"escalations": {"$slice": steps}})
                .sort("_id", DESCENDING)
                .limit(limit)
            )
            return [msgspec.convert(document, Notice) for document in await found.to_list(None)]
