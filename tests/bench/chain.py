"""End to end: all four services at once; the rate that they sustain, and latencies at half of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from shared.codec import decode
from shared.events import CaseChanged
from shared.topics import CASES
from tests.bench import workload
from tests.bench.laboratory import Laboratory
from tests.bench.measure import Measured, Reads, Sample, until_settled
from tests.bench.posting import Poster
from tests.bench.stages import CONSUMING, LINES, STAGES

READS: Reads = {stage.name: stage.reads for stage in CONSUMING}
MOST_WAITING = 8000
"""Records before any service at which the generator waits: two full polls, so that batches stay full."""
PACED_LINES = 10
PACED_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        ordered = sorted(seconds)
        return cls(*(1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99)))


@dataclass(frozen=True, slots=True)
class Finding:
    """`whole` is from the first post until nothing waits anywhere; its items are feedback.

    `decided` is from received_at to assigned_at, which is the time its batch began; `told` to the moment
    at which the assignment, then stored, went to Kafka. `late` is how late the generator sent.
    """

    whole: Measured
    resident_mb: dict[str, float]
    paced_rate: float
    assignments: int
    decided: Percentiles
    told: Percentiles
    late: Percentiles


async def measure(lab: Laboratory, count: int) -> Finding:
    """`count` feedback as fast as it goes, then PACED_SECONDS at half that rate."""
    for stage in STAGES:
        await lab.start(stage.name)
    intake, *others = list(lab.services.values())
    for service in (intake, *others):
        await service.until_ready(service.start_seconds)
    async with Poster(intake.url) as poster:
        whole = await _sustained(lab, poster, count)
        resident = lab.resident_mb()
        rate = whole.rate / 2
        before = await _ends_of_cases(lab)
        late = await _paced(lab, poster, rate)
        decided, told = await _latencies(lab, before)
    return Finding(
        whole, resident, rate, len(told), Percentiles.of(decided), Percentiles.of(told), Percentiles.of(late)
    )


async def _sustained(lab: Laboratory, poster: Poster, count: int) -> Measured:
    bodies = workload.bodies(count, LINES, run="flood")
    room = asyncio.Event()

    def look(sample: Sample) -> None:
        (room.set if sample.lag <= MOST_WAITING else room.clear)()

    async with _feeding(poster.flood(bodies, room)) as feeding:
        first = await poster.mark(lab)
        _, last = await until_settled(lab, READS, fed=feeding.done, seen=look)
    return Measured.between(first, last, poster.accepted)


async def _paced(lab: Laboratory, poster: Poster, rate: float) -> list[float]:
    count = int(rate * PACED_SECONDS) // PACED_LINES * PACED_LINES
    bodies = workload.bodies(count, PACED_LINES, run="paced", seed=2)
    async with _feeding(poster.pace(bodies, PACED_LINES / rate)) as feeding:
        await until_settled(lab, READS, fed=feeding.done)
    late: list[float] = await feeding
    return late


@asynccontextmanager
async def _feeding(posts: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """The posts as a task beside the block; what fails there fails here."""
    async with asyncio.TaskGroup() as group:
        yield group.create_task(posts)


async def _ends_of_cases(lab: Laboratory) -> dict[TopicPartition, int]:
    partitions = [TopicPartition(CASES.name, n) for n in range(CASES.partitions)]
    ends: dict[TopicPartition, int] = await lab.consumer.end_offsets(partitions)
    return ends


async def _latencies(lab: Laboratory, since: dict[TopicPartition, int]) -> tuple[list[float], list[float]]:
    """Of each first assignment since then: seconds until it was decided, and until Kafka was told.

    Nothing was sent with an `occurred_at`, so a case was opened when its feedback was received.
    """
    consumer, until = lab.consumer, await _ends_of_cases(lab)
    consumer.assign(list(since))
    for partition, offset in since.items():
        consumer.seek(partition, offset)
    left = sum(until.values()) - sum(since.values())
    decided, told = [], []
    deadline = time.monotonic() + 30
    while left > 0 and time.monotonic() < deadline:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            left -= len(records)
            for record in records:
                event, _ = decode(record.value, record.headers)
                assert isinstance(event, CaseChanged)
                if event.change.type == "assigned" and event.case.assigned_at:
                    received = event.case.opened_at
                    decided.append((event.case.assigned_at - received).total_seconds())
                    told.append(record.timestamp / 1000 - received.timestamp())
    assert told, "nothing was assigned"
    return decided, told
