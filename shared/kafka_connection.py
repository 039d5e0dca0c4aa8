"""aiokafka on uvloop: a request on a connection that was closed is a lost connection, not a bug.

A closed transport of asyncio refuses a write with OSError, one of uvloop with RuntimeError, which aiokafka
does not expect (its issue 1038): it would end the client's metadata task without a word, and from then on
commits and rejoining wait for ever. Importing this module mends it for all clients of the process.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    """AIOKafkaConnection.send with one more way to find out that the connection is gone."""
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection was closed: {error}") from error


AIOKafkaConnection.send = send
