"""What time asks for: cases that are due, and events that a crash kept from Kafka (the outbox of actions)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import msgspec

from services.routing.store.parts import Part
from shared.codec import Outgoing
from shared.mongo import Document, driver_errors

_outbox = msgspec.msgpack.Decoder(list[Outgoing])


class Due(Part):
    """What the sweep looks for, and what it has done."""

    async def said(self, entry_id: bytes) -> None:
        """The entry's events are on Kafka: forget them."""
        with driver_errors():
            await self._history.update_one({"_id": entry_id}, {"$unset": {"outbox": 1, "at": 1}})

    async def unsaid(self, before: datetime, limit: int = 200) -> AsyncIterator[tuple[bytes, list[Outgoing]]]:
        """Entries whose events a crash may have kept from Kafka, oldest first."""
        query = {"outbox": {"$exists": True}, "at": {"$lt": before}}
        with driver_errors():
            async for document in self._history.find(query).sort("at", 1).limit(limit):
                yield document["_id"], _outbox.decode(document["outbox"])

    async def unacknowledged(self, now: datetime, limit: int = 200) -> list[UUID]:
        """Cases whose owners let the time for an acknowledgement pass, longest ago first."""
        return await self._due({"books.acknowledge_by": {"$lte": now}}, "books.acknowledge_by", limit)

    async def silent(self, before: datetime, limit: int = 200) -> list[UUID]:
        """Cases that were resolved before then and are not closed, longest ago first."""
        return await self._due({"status": "resolved", "resolved_at": {"$lte": before}}, "resolved_at", limit)

    async def _due(self, query: Document, order: str, limit: int) -> list[UUID]:
        with driver_errors():
            found = self._cases.find(query, {"_id": 1}).sort(order, 1).limit(limit)
            return [document["_id"] async for document in found]
