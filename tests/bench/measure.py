"""Watching work until it is done: items, seconds, and the CPU time of each process meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from shared.topics import Topic
from tests.bench.laboratory import Laboratory

SAMPLE_SECONDS = 0.05
QUIET_SECONDS = 0.6
"""So long nothing moves before work counts as done: longer than a batch window and a hop between services."""
DEADLINE_SECONDS = 150.0

Reads = Mapping[str, Sequence[Topic]]
"""Which topics each service consumes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment of the measurement: records done by (service, topic), records waiting, CPU seconds."""

    at: float
    done: Mapping[tuple[str, str], int]
    waiting: Mapping[tuple[str, str], int]
    cpu: Mapping[str, float]

    @property
    def lag(self) -> int:
        """The longest queue before any service."""
        return max(self.waiting.values(), default=0)


@dataclass(frozen=True, slots=True)
class Measured:
    """`cpu_us` is CPU time per item by process; generator and watcher are the process that measures."""

    items: int
    seconds: float
    cpu_us: dict[str, float]

    @property
    def rate(self) -> float:
        return self.items / self.seconds

    @classmethod
    def between(cls, first: Sample, last: Sample, items: int) -> Measured:
        spent = {name: last.cpu[name] - first.cpu.get(name, 0.0) for name in last.cpu}
        per_item = {name: seconds * 1e6 / items for name, seconds in spent.items()}
        return cls(items, last.at - first.at, per_item)


async def sample(lab: Laboratory, reads: Reads) -> Sample:
    """How far everything is now. Ends are read last, so that nothing is taken for done too early."""
    done = {
        (service, topic): count for service in reads for topic, count in (await lab.done(service)).items()
    }
    at, cpu = time.perf_counter(), lab.cpu_seconds()
    ends = await lab.ends({topic.name: topic for topics in reads.values() for topic in topics}.values())
    waiting = {
        (service, topic.name): ends[topic.name] - done.get((service, topic.name), 0)
        for service, topics in reads.items()
        for topic in topics
    }
    return Sample(at, done, waiting, cpu)


def _begun(first: Sample, counted: Collection[str]) -> bool:
    return any(done for (_, topic), done in first.done.items() if not counted or topic in counted)


async def until_settled(
    lab: Laboratory,
    reads: Reads,
    *,
    fed: Callable[[], bool] = lambda: True,
    seen: Callable[[Sample], None] = lambda sample: None,
    counted: Collection[str] = (),
) -> tuple[Sample, Sample]:
    """The first sample in which work was done, and the one that saw the last of it.

    `counted`: topics whose records are the work, () for all; that a service coming up has its departments
    look at their people is no beginning. `fed` says whether all work has been handed in; `seen` gets every
    sample. Raises RuntimeError when a service ends, or DEADLINE_SECONDS are over.
    """
    first = last = now = await sample(lab, reads)
    deadline = now.at + DEADLINE_SECONDS
    while now.at < deadline:
        lab.check()
        now = await sample(lab, reads)
        seen(now)
        if now.done != last.done:
            last = now
            first = first if _begun(first, counted) else now
        if fed() and now.lag == 0 and any(now.done.values()) and now.at - last.at > QUIET_SECONDS:
            return first, last
        await asyncio.sleep(SAMPLE_SECONDS)
    queues = ", ".join(f"{service} on {topic}: {n}" for (service, topic), n in now.waiting.items() if n)
    raise RuntimeError(
        f"not done after {DEADLINE_SECONDS:.0f} s; still waiting: {queues or 'for the generator'}"
    )
