"""The way to Kafka: nothing is accepted before Kafka has it, and nobody waits longer than the deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from msgspec import Struct

from services.intake.api.metrics import PUBLICATION_SIGNALS
from shared.codec import Outgoing
from shared.errors import CQMError, Unavailable
from shared.publish import Publisher


class _Waiting(Struct, gc=False):
    """Somebody's records; `due` by the loop's clock."""

    records: Sequence[Outgoing]
    acknowledged: asyncio.Future[None]
    due: float


class Outlet:
    """One publication at a time; whatever arrives while it is under way shares the next.

    Alone, each post would wait for its own turn on its partition. One timer stands for all who wait: one for
    each would cost as much as a signal's id. Measured: docs/performance.md.
    """

    def __init__(
        self, publisher: Publisher, deadline: float, told: Callable[[float], None] = lambda waited: None
    ) -> None:
        """`deadline`: seconds until Kafka must have acknowledged. `told` hears of each publication how long
        the oldest in it has waited."""
        self._publisher = publisher
        self._deadline = deadline
        self._told = told
        self._waiting: list[_Waiting] = []
        self._under_way: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def publish(self, *records: Outgoing) -> None:
        """Raises Unavailable when not all were acknowledged in time; some may be stored."""
        loop = asyncio.get_running_loop()
        one = _Waiting(records, loop.create_future(), loop.time() + self._deadline)
        self._waiting.append(one)
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        if self._timer is None:
            self._timer = loop.call_at(one.due, self._expire)
        await one.acknowledged

    def _expire(self) -> None:
        """Who is due is told so; the timer goes on for who is due next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        left = [one for one in chain(self._under_way, self._waiting) if not one.acknowledged.done()]
        late = Unavailable(f"Kafka acknowledged too late (over {self._deadline:g} s)")
        _settle((one for one in left if one.due <= now), late)
        following = min((one.due for one in left if one.due > now), default=None)
        self._timer = None if following is None else loop.call_at(following, self._expire)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                # who has given up meanwhile was told so
                self._under_way = [one for one in self._waiting if not one.acknowledged.done()]
                self._waiting = []
                await self._publish_group(self._under_way)
        finally:
            self._flushing = None
            _settle(self._waiting, Unavailable("intake is going down"))
            self._under_way, self._waiting = [], []

    async def _publish_group(self, group: Sequence[_Waiting]) -> None:
        came = group[0].due - self._deadline
        together = [record for one in group for record in one.records]
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
        finally:
            # not by the loop's clock: it stands still for a turn, and a turn full of requests is a long one
            self._told(time.monotonic() - came)


def _settle(group: Iterable[_Waiting], error: CQMError | None) -> None:
    for one in group:
        if one.acknowledged.done():
            continue
        if error is None:
            one.acknowledged.set_result(None)
        else:
            one.acknowledged.set_exception(error)
