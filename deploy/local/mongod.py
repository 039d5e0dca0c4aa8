"""The real MongoDB, a replica set of one (transactions need a replica set), on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.folder import DataFolder
from deploy.local.mongod_binary import find_mongod
from deploy.local.part import poll_until
from deploy.local.plan import CACHE_GB
from deploy.local.ports import HOST
from deploy.local.process import Child

START_SECONDS = 60.0
REPLICA_SET = "cqm"
OPLOG_MB = 1024  # the default is 5 % of the disk
SLOW_MS = 2_147_483_647
"""Operations that took longer are written into mongod's log, with all that an update sets: seeds, and what
refused rows hold. No operation of CQM takes so long, and a secondary logs whole entries of the oplog."""
NOT_YET_INITIALIZED = 94  # NotYetInitialized in MongoDB's error_codes.yml
PARAMETERS = {
    # A process killed inside a transaction would otherwise lock what it wrote for 60 s and more.
    "transactionLifetimeLimitSeconds": "3",
    "diagnosticDataCollectionEnabled": "false",
}


class LocalMongod:
    """A Part. Data in FOLDER/mongo survive; the port may change from one start to the next."""

    name = "mongo"
    grace_seconds = 20.0
    start_seconds = START_SECONDS

    def __init__(
        self,
        folder: DataFolder,
        port: int,
        *,
        cache_gb: float = CACHE_GB,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """`cache_gb` bounds WiredTiger's cache; `parameters` are --setParameter and win over PARAMETERS."""
        self.url = f"mongodb://{HOST}:{port}/?replicaSet={REPLICA_SET}"
        self.child = Child(self.name, log=folder.log(self.name), run_folder=folder.run)
        self._data = folder.mongo
        self._port = port
        self._cache_gb = cache_gb
        self._parameters = PARAMETERS | dict(parameters or {})

    async def spawn(self) -> None:
        program = await asyncio.to_thread(find_mongod)
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [str(program), "--dbpath", str(self._data), "--port", str(self._port), "--bind_ip", HOST]
        command += ["--replSet", REPLICA_SET, "--oplogSize", str(OPLOG_MB), "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", str(self._cache_gb), "--slowms", str(SLOW_MS)]
        for name, value in self._parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        self.child.start(command)

    async def until_ready(self, timeout_seconds: float | None) -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            HOST, self._port, directConnection=True, serverSelectionTimeoutMS=500, tz_aware=True
        )

        async def writable() -> bool:
            try:
                return await self._is_primary(client)
            except PyMongoError:  # not listening yet, or between two states
                return False

        async with client:
            await poll_until(writable, self.child, timeout_seconds)

    async def _is_primary(self, client: AsyncMongoClient[dict[str, Any]]) -> bool:
        if (await client.admin.command("hello"))["isWritablePrimary"]:
            return True
        member = f"{HOST}:{self._port}"
        try:
            config = (await client.admin.command("replSetGetConfig"))["config"]
        except OperationFailure as error:
            if error.code != NOT_YET_INITIALIZED:
                raise
            members = [{"_id": 0, "host": member}]
            await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            return False
        if config["members"][0]["host"] != member:  # the port has changed since the last start
            config["members"][0]["host"] = member
            config["version"] += 1
            await client.admin.command("replSetReconfig", config, force=True)
        return False
