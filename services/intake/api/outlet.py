"""The way to Kafka: nothing is accepted before Kafka has it, and nobody waits longer than the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.intake.api.metrics import PUBLICATION_SIGNALS
from shared.codec import Outgoing
from shared.errors import CQMError, Unavailable
from shared.publish import Publisher

Waiting = tuple[Sequence[Outgoing], asyncio.Future[None]]


class Outlet:
    """One publication at a time; whatever arrives while it is under way shares the next.

    Alone, each post would wait for its own turn on its partition. Measured: docs/intake.md.
    """

    def __init__(self, publisher: Publisher, deadline: float) -> None:
        """`deadline`: seconds until Kafka must have acknowledged."""
        self._publisher = publisher
        self._deadline = deadline
        self._waiting: list[Waiting] = []
        self._flushing: asyncio.Task[None] | None = None

    async def publish(self, *records: Outgoing) -> None:
        """Raises Unavailable when not all were acknowledged in time; some may be stored."""
        acknowledged = asyncio.get_running_loop().create_future()
        self._waiting.append((records, acknowledged))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        try:
            async with asyncio.timeout(self._deadline):
                await acknowledged
        except TimeoutError as error:
            raise Unavailable(f"Kafka acknowledged too late (over {self._deadline:g} s)") from error

    async def _flush(self) -> None:
        try:
            while self._waiting:
                # who has given up meanwhile was told so
                group = [one for one in self._waiting if not one[1].done()]
                self._waiting = []
                await self._publish_group(group)
        finally:
            self._flushing = None
            _settle(self._waiting, Unavailable("intake is going down"))
            self._waiting = []

    async def _publish_group(self, group: Sequence[Waiting]) -> None:
        together = [record for records, _ in group for record in records]
        PUBLICATION_SIGNALS.observe(len(together))
        try:
            await self._publisher.publish(together, deadline=self._deadline)
        except CQMError as error:
            _settle(group, error)
        except BaseException:
            _settle(group, Unavailable("the publication was abandoned"))
            raise
        else:
            _settle(group, None)


def _settle(group: Sequence[Waiting], error: CQMError | None) -> None:
    for _, acknowledged in group:
        if acknowledged.done():
            continue
        if error is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(error)
