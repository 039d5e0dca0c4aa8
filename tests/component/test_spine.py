"""The exactly-once spine on a real Kafka and a real MongoDB."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from msgspec.structs import replace

from shared import ids, stream
from shared.errors import PermanentError, TransientError
from shared.handler import Partition
from shared.processing import Processor
from shared.progress import EVERY_SECONDS
from shared.topics import ASSIGNMENTS
from tests.support.reading import dead_letters, read_topic
from tests.support.servers import Servers
from tests.support.spine import (
    Recorder,
    eventually,
    feedback,
    record,
    running,
    settings_for,
    spine_service,
    topic_of_its_own,
)

COUNT = 300


async def stored(recorder: Recorder) -> int:
    return int(await recorder.collection.count_documents({}))


async def said(kafka: str, topic: str, wanted: set[bytes]) -> Counter[bytes]:
    """How often each of the wanted event ids stands on the topic now."""
    ids_there = [dict(record.headers)["ce_id"] for record in await read_topic(kafka, topic)]
    return Counter(one for one in ids_there if one in wanted)


def expected_events(count: int, run: str) -> set[bytes]:
    return {str(ids.event_id(feedback(n, run=run).id, "said", 1)).encode() for n in range(count)}


async def test_each_record_has_one_effect_and_one_event_though_it_was_sent_three_times(
    servers: Servers, prefix: str
) -> None:
    run = uuid4().hex
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        for _ in range(3):
            await service.publisher.publish([record(feedback(n, run=run), topic.name) for n in range(COUNT)])
        await eventually(lambda: service.streams[0].handled >= 3 * COUNT)
        assert await stored(rec) == COUNT
        counts = await said(servers.kafka, ASSIGNMENTS.name, expected_events(COUNT, run))
        assert counts == dict.fromkeys(expected_events(COUNT, run), 1)


async def test_a_record_that_is_not_json_is_a_dead_letter_and_its_neighbours_are_processed(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        good = record(feedback(1), topic.name)
        poison = replace(good, value=b"\xff not json", headers=[*good.headers, ("odd", b"\xff\xfe")])
        unknown = replace(good, headers=[("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"x.v9")])
        await service.publisher.publish([poison, good, unknown, record(feedback(2), topic.name)])
        await eventually(lambda: stored_is(rec, 2))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 2))
        assert {letter["reason"] for letter in found} == {"invalid", "unknown_type"}
        assert {letter["offset"] for letter in found} == {"0", "2"}


async def stored_is(recorder: Recorder, count: int) -> bool:
    return await stored(recorder) == count


async def letters_are(kafka: str, origin: str, count: int) -> list[dict[str, str]]:
    found = await dead_letters(kafka, topic=origin)
    return found if len(found) == count else []


async def test_a_null_value_and_a_null_header_harm_nobody(servers: Servers, prefix: str) -> None:
    async with topic_of_its_own(servers.kafka, 1) as topic, running(servers, prefix, topic) as (_, rec):
        producer = AIOKafkaProducer(bootstrap_servers=servers.kafka)
        await producer.start()
        await producer.send_and_wait(topic.name, value=None, key=b"k")
        good = record(feedback(1), topic.name)
        await producer.send_and_wait(topic.name, good.value, good.key, headers=[*good.headers, ("h", None)])
        await producer.stop()
        await eventually(lambda: stored_is(rec, 1))
        assert [letter["reason"] for letter in await dead_letters(servers.kafka, topic=topic.name)] == [
            "missing_attribute"
        ]


async def test_a_refused_record_is_a_dead_letter_and_the_rest_of_its_batch_is_stored(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        events = [feedback(1), feedback(2, text="refuse"), feedback(3)]
        await service.publisher.publish([record(event, topic.name) for event in events])
        await eventually(lambda: stored_is(rec, 2))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 1))
        assert found[0]["reason"] == "refused"


async def test_a_permanent_error_in_the_middle_of_a_batch_takes_only_its_own_record(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        rec.failing["poison"] = lambda: PermanentError("poison", "the test wants it so")
        events = [feedback(n, text="poison" if n == 77 else "") for n in range(COUNT)]
        await service.publisher.publish([record(event, topic.name) for event in events])
        await eventually(lambda: stored_is(rec, COUNT - 1))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 1))
        assert found[0]["reason"] == "poison"


async def test_a_record_that_keeps_failing_goes_to_the_dead_letters_when_its_budget_is_spent(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        rec.failing["flaky"] = lambda: TransientError("never mind")
        events = [feedback(n, text="flaky" if n == 7 else "") for n in range(20)]
        await service.publisher.publish([record(event, topic.name) for event in events])
        await eventually(lambda: stored_is(rec, 19))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 1))
        assert found[0]["reason"] == "retries_exhausted" and int(found[0]["attempts"]) > 1


async def test_a_bug_stops_its_partition_loudly_and_the_others_go_on(servers: Servers, prefix: str) -> None:
    async with topic_of_its_own(servers.kafka, 3) as topic:
        async with running(servers, prefix, topic) as (service, rec):
            rec.failing["bug"] = lambda: KeyError("oops")
            events = [feedback(n, text="bug" if n == 7 else "") for n in range(COUNT)]
            await service.publisher.publish([record(event, topic.name) for event in events])
            await eventually(lambda: "bug at offset" in " ".join(service.problems()))
            await eventually(lambda: service.streams[0].handled >= COUNT)
            assert len(service.streams[0].processor.stopped) == 1
            before = await stored(rec)
            assert COUNT / 3 < before < COUNT
            assert await dead_letters(servers.kafka, topic=topic.name) == []
        async with running(servers, prefix, topic) as (service, rec):  # the bug is mended
            await eventually(lambda: stored_is(rec, COUNT))


async def test_too_many_dead_letters_in_a_row_stop_the_partition_instead_of_emptying_the_topic(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        poison = replace(record(feedback(1), topic.name), value=b"{")
        await service.publisher.publish([poison] * 50)
        await eventually(lambda: "dead letters in a row" in " ".join(service.problems()))

        async def buried() -> bool:  # what is due before the stop is published with it, not before it
            return len(await dead_letters(servers.kafka, topic=topic.name)) == 3

        await eventually(buried)
        assert await stored(rec) == 0


async def test_any_number_of_conflicts_in_a_row_are_kept_and_the_partition_goes_on(
    servers: Servers, prefix: str
) -> None:
    """A sender who sends an old file again with other words in it, or after an erasure, stops nobody else."""
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        again = [record(feedback(number, text="conflict"), topic.name) for number in range(20)]
        await service.publisher.publish([*again, record(feedback(20), topic.name)])
        await eventually(lambda: stored_is(rec, 1))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 20))
        assert {letter["reason"] for letter in found} == {"conflict"}
        assert service.problems() == []


async def test_any_number_of_events_of_a_later_version_are_kept_and_the_partition_goes_on(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        good = record(feedback(1), topic.name)
        headers = [(n, b"cqm.feedback.noticed.v1" if n == "ce_type" else v) for n, v in good.headers]
        await service.publisher.publish([*[replace(good, headers=headers)] * 20, good])
        await eventually(lambda: stored_is(rec, 1))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 20))
        assert {letter["reason"] for letter in found} == {"unknown_type"}
        assert service.problems() == []


async def test_two_replicas_share_the_partitions_and_nothing_is_doubled_when_one_leaves(
    servers: Servers, prefix: str
) -> None:
    run = uuid4().hex
    async with (
        topic_of_its_own(servers.kafka, 6) as topic,
        running(servers, prefix, topic) as (first, rec),
    ):
        await first.publisher.publish([record(feedback(n, run=run), topic.name) for n in range(COUNT)])
        async with running(servers, prefix, topic) as (second, _):
            await eventually(lambda: len(second.streams[0].held) == 3 and len(first.streams[0].held) == 3)
            await first.publisher.publish(
                [record(feedback(n, run=run), topic.name) for n in range(COUNT, 2 * COUNT)]
            )
            await eventually(lambda: second.streams[0].handled > 0)
        await first.publisher.publish(
            [record(feedback(n, run=run), topic.name) for n in range(2 * COUNT, 3 * COUNT)]
        )
        await eventually(lambda: stored_is(rec, 3 * COUNT))
        counts = await said(servers.kafka, ASSIGNMENTS.name, expected_events(3 * COUNT, run))
        assert len(counts) == 3 * COUNT  # said again after a take-over is allowed: the ids are the same


async def test_who_leaves_claims_nothing_that_a_rebalance_under_way_still_assigns(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, _),
    ):
        (stream,) = service.streams
        assigned = await eventually(lambda: stream.held)
        await stream.drain()
        await stream.on_partitions_assigned(assigned)
        assert not stream.unclaimed, "somebody goes on claiming after the service has closed"


async def test_a_zombie_with_an_old_epoch_is_fenced(servers: Servers, prefix: str) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        await eventually(lambda: service.streams[0].held)
        offsets = service.database.offsets
        await offsets.update_many({}, {"$inc": {"epoch": 1}})  # what a successor does first
        await service.publisher.publish([record(feedback(1), topic.name)])
        await eventually(lambda: rec.calls > 0)
        await eventually(lambda: not service.streams[0].held)
        assert await stored(rec) == 0


async def test_what_a_dead_owner_left_pending_is_said_by_its_successor(servers: Servers, prefix: str) -> None:
    run = uuid4().hex
    async with topic_of_its_own(servers.kafka, 1) as topic:
        async with running(servers, prefix, topic) as (service, rec):
            real = service.publisher.publish
            await eventually(lambda: service.streams[0].held)

            async def dies_here(records: Any, **options: Any) -> None:
                raise asyncio.CancelledError  # as a kill between commit and publication would end it

            await real([record(feedback(n, run=run), topic.name) for n in range(5)])
            service.publisher.publish = dies_here  # type: ignore[method-assign]
            await eventually(lambda: stored_is(rec, 5))
        async with running(servers, prefix, topic) as (service, rec):
            await eventually(lambda: service.streams[0].held)
            counts = await said(servers.kafka, ASSIGNMENTS.name, expected_events(5, run))
            assert counts == dict.fromkeys(expected_events(5, run), 1)


@pytest.mark.parametrize("partitions", [1, 12])
async def test_a_topic_that_was_recreated_is_an_alarm_and_not_a_silent_skip(
    servers: Servers, prefix: str, partitions: int
) -> None:
    async with topic_of_its_own(servers.kafka, partitions) as topic:
        async with running(servers, prefix, topic) as (service, _):
            await eventually(lambda: len(service.streams[0].held) == partitions)
            await service.database.offsets.update_many({}, {"$set": {"next": 1000}})
        async with running(servers, prefix, topic) as (service, _):
            await eventually(lambda: "outside the log" in " ".join(service.problems()))


async def test_what_the_database_cannot_hold_is_a_dead_letter_and_not_a_stopped_partition(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        rec.failing["huge"] = lambda: OverflowError("MongoDB can only handle up to 8-byte ints")
        events = [feedback(n, text="huge" if n == 3 else "") for n in range(9)]
        await service.publisher.publish([record(event, topic.name) for event in events])
        await eventually(lambda: stored_is(rec, 8))
        found = await eventually(lambda: letters_are(servers.kafka, topic.name, 1))
        assert found[0]["reason"] == "unstorable" and not service.problems()


async def test_transactions_that_grow_too_old_become_smaller_until_they_fit(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        rec.slow_over = 40
        await service.publisher.publish([record(feedback(n), topic.name) for n in range(COUNT)])
        await eventually(lambda: stored_is(rec, COUNT))
        assert await dead_letters(servers.kafka, topic=topic.name) == [] and not service.problems()


async def test_a_consumer_that_stops_delivering_is_restarted(servers: Servers, prefix: str) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic, stuck_after=1.0) as (service, rec),
    ):
        consumer = service.streams[0].consumer
        assert consumer is not None
        await eventually(lambda: service.streams[0].held)
        consumer.pause(*consumer.assignment())  # what a lost fetch task looks like from here
        await service.publisher.publish([record(feedback(1), topic.name)])
        await eventually(lambda: stored_is(rec, 1))
        assert service.streams[0].consumer is not consumer
        await eventually(lambda: not service.problems())


async def test_a_stream_that_has_a_batch_in_hand_is_slow_and_not_restarted(
    servers: Servers, prefix: str
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic, stuck_after=0.2) as (service, rec),
    ):
        rec.holding, consumer, time = (
            asyncio.Event(),
            service.streams[0].consumer,
            asyncio.get_running_loop().time,
        )
        await service.publisher.publish([record(feedback(1), topic.name)])
        await eventually(lambda: service.streams[0].busy)
        until = time() + 2 * EVERY_SECONDS + 0.3  # MongoDB ends a transaction after three
        await eventually(lambda: time() > until, what="the watch has looked twice")
        rec.holding.set()
        await eventually(lambda: stored_is(rec, 1))
        assert rec.calls == 1 and service.streams[0].consumer is consumer


async def test_a_start_that_failed_is_made_again(servers: Servers, prefix: str) -> None:
    async with topic_of_its_own(servers.kafka, 1) as topic:
        service, rec = spine_service(settings_for(servers.kafka, servers.mongo, prefix), topic)
        attempts = 0

        async def fails_at_first() -> None:
            nonlocal attempts
            attempts += 1
            await service.mongo.ping()
            if attempts == 1:
                raise RuntimeError("what nobody has foreseen")

        service.prepare.append(fails_at_first)
        async with service.running():
            await eventually(lambda: service.started and service.streams[0].joined)
            await service.publisher.publish([record(feedback(1), topic.name)])
            await eventually(lambda: stored_is(rec, 1))
        assert attempts == 2


async def test_the_trace_of_a_feedback_goes_on_in_the_events_that_it_causes(
    servers: Servers, prefix: str
) -> None:
    trace = f"00-{uuid4().hex}-{uuid4().hex[:16]}-01".encode()
    run = uuid4().hex
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        traced = record(feedback(0, run=run), topic.name)
        traced.headers.append(("traceparent", trace))
        await service.publisher.publish([traced])
        await eventually(lambda: stored_is(rec, 1))
        consumer = AIOKafkaConsumer(
            ASSIGNMENTS.name, bootstrap_servers=servers.kafka, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            async with asyncio.timeout(20):
                async for one in consumer:
                    if dict(one.headers)["ce_id"] in expected_events(1, run):
                        assert dict(one.headers)["traceparent"] == trace
                        break
        finally:
            await consumer.stop()


async def test_a_poll_holds_so_many_bytes_however_small_kafka_made_them(
    servers: Servers, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "AT_ONCE", 20)
    monkeypatch.setattr(stream, "POLL_BYTES", 1_000_000)
    polls: list[int] = []
    whole = Processor.process

    async def process(self: Processor[Any, Any], polled: Mapping[Partition, list[Any]]) -> None:
        polls.append(sum(len(record.value) for records in polled.values() for record in records))
        await whole(self, polled)

    monkeypatch.setattr(Processor, "process", process)
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic) as (service, rec),
    ):
        rec.holding = asyncio.Event()
        long = [record(feedback(n, text="long " * 10_000), topic.name) for n in range(COUNT)]
        await service.publisher.publish([record(feedback(COUNT), topic.name), *long])
        rec.holding.set()
        await eventually(lambda: stored_is(rec, COUNT + 1))
    assert max(polls) <= 1_000_000 + 20 * len(long[0].value)
    assert len(polls) < COUNT / 10, "a poll is filled up to its limit"
