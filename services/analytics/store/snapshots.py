"""Sessions in which everything is read as of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.mongo import Database, Session, driver_errors


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Session]:
    """A snapshot session of the database, for the length of a block."""
    with driver_errors():
        session = await database.client.start_session(snapshot=True)
        try:
            yield session
        finally:
            await session.end_session()
