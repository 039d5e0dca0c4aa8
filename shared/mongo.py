"""The only module that knows how the driver is built, so that its successor is one change.

Every database handle that CQM uses has majority writes and majority reads, UUIDs as BSON UUIDs, aware
datetimes, and a deadline on each operation: a majority write without one can wait for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC
from typing import Any, TypeVar
from uuid import UUID

import pymongo
from bson import Binary, CodecOptions
from bson.binary import UuidRepresentation
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import IndexModel, ReadPreference
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.errors import SetupError, TooSlow, Unavailable

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]
Session = AsyncIOMotorClientSession
T = TypeVar("T")

OPERATION_DEADLINE_MS = 10_000
_CODEC = CodecOptions[Document](tz_aware=True, tzinfo=UTC, uuid_representation=UuidRepresentation.STANDARD)
_AWAY = (AutoReconnect, NetworkTimeout, ExecutionTimeout, WTimeoutError)
_STEPPING_DOWN = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
_NOT_A_REPLICA_SET = 20
_TOO_OLD = 290
_NO_SUCH_INDEX = 27


class Mongo:
    """One client per process. `database(name)` is a service's own database."""

    def __init__(self, uri: str) -> None:
        """Raises SetupError for what is no address of a MongoDB."""
        try:
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                uri,
                timeoutMS=OPERATION_DEADLINE_MS,
                serverSelectionTimeoutMS=5000,
                connectTimeoutMS=3000,
                retryWrites=True,
                appname="cqm",
            )
        except (ConfigurationError, ValueError) as error:
            raise SetupError(f"the address of MongoDB is wrong: {error}") from error

    def database(self, name: str) -> Database:
        return self._client.get_database(
            name,
            codec_options=_CODEC,
            write_concern=WriteConcern("majority"),
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )

    async def ping(self) -> None:
        """Raises Unavailable when no primary answers, SetupError when it is not a replica set."""
        with driver_errors():
            hello = await self._client.admin.command("hello")
        if "setName" not in hello:
            raise SetupError(
                "MongoDB runs without a replica set, so it has no transactions: start mongod with "
                "--replSet rs0 and run rs.initiate() once"
            )
        if not hello.get("isWritablePrimary"):
            raise Unavailable("MongoDB has no primary at the moment")

    async def now(self) -> Any:
        """The database's clock (aware UTC): what is due is decided by one clock for all replicas."""
        with driver_errors():
            hello = await self._client.admin.command("hello")
        return hello["localTime"].replace(tzinfo=UTC)

    async def kill_session(self, session_id: UUID) -> None:
        """End another process's session, and with it the transaction that it left open."""
        with driver_errors():
            await self._client.admin.command("killSessions", [{"id": Binary.from_uuid(session_id)}])

    async def start_session(self) -> Session:
        """A session of one's own; end it with `end_session`."""
        with driver_errors():
            return await self._client.start_session()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        session = await self.start_session()
        try:
            yield session
        finally:
            await session.end_session()

    def close(self) -> None:
        self._client.close()


async def transaction(session: Session, body: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
    """Run `body` in one transaction, again from its start when the database asks for it.

    `body` does no I/O but on this session, and leaves nothing behind when it is run twice. Raises
    Unavailable when the outcome is not known: it may have been committed.
    """
    with driver_errors():
        return await session.with_transaction(
            body,
            read_concern=ReadConcern("snapshot"),
            write_concern=WriteConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )


@contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """Operations begun in this block are ended after `seconds` by the server itself and raise Unavailable.

    Giving up on this side only would leave each of them in one of the driver's few threads.
    """
    with pymongo.timeout(seconds):
        yield


@contextmanager
def driver_errors() -> Iterator[None]:
    """Translate what the driver raises when MongoDB is away; everything else stays what it is."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable(f"MongoDB did not answer: {type(error).__name__}") from error
    except OperationFailure as error:
        if error.code == _NOT_A_REPLICA_SET:
            raise SetupError("MongoDB must run as a replica set: transactions need one") from error
        if error.code == _TOO_OLD:
            raise TooSlow("the transaction outlived transactionLifetimeLimitSeconds") from error
        if error.code in _STEPPING_DOWN or error.has_error_label("TransientTransactionError"):
            raise Unavailable(f"MongoDB asks to try again (code {error.code})") from error
        raise
    except PyMongoError as error:
        if error.timeout or error.has_error_label("TransientTransactionError"):
            raise Unavailable(f"MongoDB did not answer: {type(error).__name__}") from error
        raise


async def ensure_indexes(
    collection: Collection, indexes: Sequence[IndexModel], retired: Sequence[str] = ()
) -> None:
    """Create the indexes that are missing; existing ones cost one round trip. Then drop the `retired` ones,
    by name, which an earlier version made."""
    with driver_errors():
        await collection.create_indexes(list(indexes))
        for name in (await collection.index_information()).keys() & set(retired):
            try:
                await collection.drop_index(name)
            except OperationFailure as error:
                if error.code != _NO_SUCH_INDEX:  # another replica was faster
                    raise
