"""Lag, age, commits, and a watch on consumers that stop delivering (aiokafka #1037, #876).

End offsets come from a consumer of its own without a group, because a stuck consumer is exactly the one
that cannot be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared import observability as metrics
from shared.clock import Clock
from shared.errors import Unavailable
from shared.stream import Stream

log = structlog.get_logger("cqm.progress")

EVERY_SECONDS = 1.0


class Watch:
    """Runs beside the streams of one service: `run()` until cancelled."""

    def __init__(
        self,
        streams: Sequence[Stream],
        bootstrap: str,
        clock: Clock,
        stuck_after: float,
        security: dict[str, Any] | None = None,
    ) -> None:
        self._stuck_after = stuck_after
        self._streams = streams
        self._observer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **(security or {}))
        self._clock = clock
        self._progress = {stream.group: (-1, clock.monotonic()) for stream in streams}
        self.lag: dict[str, int] = {stream.group: 0 for stream in streams}

    async def run(self) -> None:
        """Every second: commit, measure, and restart a stream that is stuck."""
        await self._observer.start()
        try:
            while True:
                await asyncio.sleep(EVERY_SECONDS)
                for stream in self._streams:
                    try:
                        async with asyncio.timeout(10):
                            await self._look_after(stream)
                    except (KafkaError, Unavailable, TimeoutError) as error:
                        log.info("watch_waits", group=stream.group, error=type(error).__name__)
        finally:
            await self._observer.stop()

    async def _look_after(self, stream: Stream) -> None:
        """A stream that has records in hand is slow, not stuck: a restart would undo what it has done."""
        await stream.commit()
        self.lag[stream.group] = lag = await self._lag(stream)
        now = self._clock.monotonic()
        metrics.STREAM_LAG.labels(stream.group).set(lag)
        metrics.STREAM_STOPPED.labels(stream.group).set(
            len(stream.processor.stopped) + len(stream.out_of_range)
        )
        age = self._clock.now().timestamp() - stream.last_timestamp_ms / 1000
        metrics.STREAM_AGE.labels(stream.group).set(max(0.0, age) if lag and stream.handled else 0.0)
        if max(stream.lost().values(), default=0.0) > self._stuck_after:
            return await stream.restart()
        handled, since = self._progress[stream.group]
        if handled != stream.handled or not lag or stream.busy or stream.problems():
            self._progress[stream.group] = (stream.handled, now)
        elif now - since > self._stuck_after:
            self._progress[stream.group] = (stream.handled, now)
            await stream.restart()

    async def _lag(self, stream: Stream) -> int:
        held = {
            partition: position.next
            for partition, position in list(stream.processor.exactly_once.positions.items())
            if partition not in stream.processor.stopped
        }
        if not held:
            return 0
        ends = await self._observer.end_offsets(list(held))
        return sum(max(0, ends[partition] - (following or 0)) for partition, following in held.items())
