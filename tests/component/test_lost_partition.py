"""A partition that Kafka still assigns to a replica, though its fence has been taken by one that is dead."""

from __future__ import annotations

import asyncio

import pytest

from shared import stream as module
from shared.exactly_once import ExactlyOnce
from shared.handler import Partition
from shared.service import Service
from shared.stream import Stream
from shared.topics import Topic
from tests.support.servers import Servers
from tests.support.spine import eventually, feedback, record, running, topic_of_its_own


async def a_zombie_claims(service: Service, partition: Partition) -> None:
    """As a replica does that was frozen, wakes, and dies before it learns that it is no member any more."""
    mine = service.streams[0].processor.exactly_once
    zombie = ExactlyOnce(mine.group, mine.service, mine.mongo, mine.database, mine.publisher, asyncio.Lock())
    await zombie.claim([partition])
    await zombie.close()


async def publish(service: Service, topic: Topic, numbers: range) -> None:
    await service.publisher.publish([record(feedback(number), topic.name) for number in numbers])


def not_held(stream: Stream) -> list[str]:
    return [problem for problem in stream.problems() if "assigned but not held" in problem]


async def test_a_partition_whose_fence_a_dead_replica_took_is_named_and_claimed_again(
    servers: Servers, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOST_AFTER_SECONDS", 0.5)
    async with (
        topic_of_its_own(servers.kafka, 2) as topic,
        running(servers, prefix, topic, stuck_after=3.0) as (service, recorder),
    ):
        (stream,) = service.streams
        await eventually(lambda: len(stream.held) == 2)
        lost = Partition(topic.name, 0)
        await a_zombie_claims(service, lost)
        await publish(service, topic, range(60))
        (problem,) = await eventually(lambda: not_held(stream))
        assert problem.startswith(f"{lost}: ")
        await eventually(lambda: len(stream.held) == 2 and not service.problems())
        await publish(service, topic, range(60, 120))

        async def all_stored() -> bool:
            return await recorder.collection.count_documents({}) == 120

        await eventually(all_stored)
