"""Segments that wait to be compacted: what batches have counted and no day document or chunk holds yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from services.analytics.store.packed import Packed
from shared.mongo import Database, Session


async def shares(
    database: Database, tally: str, fields: Iterable[str], session: Session
) -> AsyncIterator[Packed]:
    """The tally's shares of all segments, with those fields of them."""
    shown = {f"t.{tally}.{name}": 1 for name in fields}
    async for segment in database.segments.find({"_id": {"$gt": ""}}, shown, session=session):
        if tally in segment.get("t", ()):
            yield segment["t"][tally]
