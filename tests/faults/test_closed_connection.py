"""A broker that is killed closes its connections: a request on one of them fails like any lost connection."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from shared.clock import SystemClock
from shared.service import Service
from shared.settings import Settings

pytestmark = pytest.mark.faults


async def _asked_on_a_closed_connection() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    connection = AIOKafkaConnection(host, port)
    _, connection._writer = await asyncio.open_connection(host, port)
    connection._versions = {3: (0, 2)}
    connection._writer.transport.close()
    await asyncio.sleep(0.05)  # the transport is gone once the loop has gone round
    try:
        await connection.send(MetadataRequest([]))
    finally:
        server.close()


def test_a_request_on_a_connection_that_uvloop_has_closed_is_a_lost_connection() -> None:
    """aiokafka catches OSError only (its issue 1038); a RuntimeError would end its metadata task for good:
    from then on commits hang, and the group is never joined again."""
    Service.build("spine", Settings(), SystemClock())  # whatever a service does to its clients
    with pytest.raises(KafkaConnectionError):
        uvloop.run(_asked_on_a_closed_connection())
