"""Sessions in which everything is read as of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.errors import OperationFailure

from shared.errors import Unavailable
from shared.mongo import Database, Session, driver_errors

_TOO_OLD = 239
"""SnapshotTooOld."""


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Session]:
    """A snapshot session of the database, for the length of a block. Raises Unavailable when the block lasts
    longer than MongoDB keeps the moment."""
    with driver_errors():
        session = await database.client.start_session(snapshot=True)
        try:
            yield session
        except OperationFailure as error:
            if error.code != _TOO_OLD:
                raise
            message = "MongoDB no longer keeps the moment that is read (minSnapshotHistoryWindowInSeconds)"
            raise Unavailable(message) from error
        finally:
            await session.end_session()
