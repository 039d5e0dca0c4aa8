"""Reading ahead: what can be done with the next records while MongoDB works at those before them.

A transaction is mostly waiting, and Python could only wait with it. What a record needs before its turn
(decoding, and what the handler can say of an event by itself) depends on nothing that is stored, so it is
done in the pauses, a few records at a time, or in the record's turn if there was no pause long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from shared.codec import decode
from shared.errors import PermanentError
from shared.events import Event
from shared.handler import Cause, Partition, Received
from shared.sealing import Seals

AT_ONCE = 12
"""Records between two looks at what else there is to do: under a millisecond of the loop's time."""
DECODED_AT_ONCE = 4 * AT_ONCE
"""Decoding is a tenth of that; keys are cheaper by the dozen (shared/key_tree.py)."""


@dataclass
class Ahead:
    """The records of one poll as a handler gets them. `foresee` is the handler's; `seals` open what people
    said, where the handler wants to know it."""

    foresee: Callable[[Any], Any]
    seals: Seals | None = None
    _decoded: dict[tuple[Partition, int], tuple[Event, bytes]] = field(default_factory=dict)
    _read: dict[tuple[Partition, int], Received[Any]] = field(default_factory=dict)

    def received(self, partition: Partition, record: Any) -> Received[Any]:
        """As it was read ahead, else decoded now. Raises PermanentError as shared.codec.decode does."""
        place = partition, record.offset
        found = self._read.get(place)
        if found is not None:
            return found
        decoded = self._decoded.pop(place, None)
        event, trace = decoded or decode(record.value, record.headers)
        if self.seals is not None:
            event = self.seals.opened(event)
        return Received(event, Cause(partition, trace), record.offset)

    def decode(self, records: Sequence[tuple[Partition, Any]]) -> None:
        """Decode these, and compute the keys at once that open them. Raises Unavailable."""
        if self.seals is None:
            return
        for partition, record in records:
            place = partition, record.offset
            if place not in self._read and place not in self._decoded:
                with suppress(PermanentError):  # met again in the record's turn
                    self._decoded[place] = decode(record.value, record.headers)
        self.seals.learn_sealed(getattr(event, "sealed", b"") for event, _ in self._decoded.values())

    async def read(self, polled: Mapping[Partition, Sequence[Any]]) -> None:
        """Read these until cancelled."""
        records = [(partition, record) for partition, some in polled.items() for record in some]
        for start in range(0, len(records), DECODED_AT_ONCE):
            some = records[start : start + DECODED_AT_ONCE]
            self.decode(some)
            for number, (partition, record) in enumerate(some, 1):
                self._look_at(partition, record)
                if number % AT_ONCE == 0:
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
        self._decoded.clear()
        self._read.clear()
