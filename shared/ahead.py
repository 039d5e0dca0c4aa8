"""Reading ahead: what can be done with the next records while MongoDB works at those before them.

A transaction is mostly waiting, and Python could only wait with it. What a record needs before its turn
(decoding, and what the handler can say of an event by itself) depends on nothing that is stored, so it is
done in the pauses, a few records at a time, or in the record's turn if there was no pause long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.codec import decode
from shared.handler import Cause, Partition, Received
from shared.sealing import Seals

AT_ONCE = 12
"""Records between two looks at what else there is to do: under a millisecond of the loop's time."""


@dataclass
class Ahead:
    """The records of one poll as a handler gets them. `foresee` is the handler's; `seals` open what people
    said, where the handler wants to know it."""

    foresee: Callable[[Any], Any]
    seals: Seals | None = None
    _read: dict[tuple[Partition, int], Received[Any]] = field(default_factory=dict)

    def received(self, partition: Partition, record: Any) -> Received[Any]:
        """As it was read ahead, else decoded now. Raises PermanentError as shared.codec.decode does."""
        found = self._read.get((partition, record.offset))
        if found is not None:
            return found
        event, trace = decode(record.value, record.headers)
        if self.seals is not None:
            event = self.seals.opened(event)
        return Received(event, Cause(partition, trace), record.offset)

    async def read(self, polled: Mapping[Partition, Sequence[Any]]) -> None:
        """Read these until cancelled."""
        some = 0
        for partition, records in polled.items():
            for record in records:
                self._look_at(partition, record)
                if (some := some + 1) % AT_ONCE == 0:
                    await asyncio.sleep(0)  # whoever got an answer meanwhile goes first

    def _look_at(self, partition: Partition, record: Any) -> None:
        try:
            received = self.received(partition, record)
            seen = self.foresee(received.event)
        except Exception:
            return  # met again in the record's turn, where an error has its consequence
        self._read[partition, record.offset] = Received(received.event, received.cause, received.offset, seen)

    def forget(self) -> None:
        """The poll is done."""
        self._read.clear()
