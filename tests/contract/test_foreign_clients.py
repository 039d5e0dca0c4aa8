"""Others read our topics with their own tools: the CloudEvents SDK for Python, and kcat."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent

from shared import ids
from shared.codec import Outgoing, decode, encode
from shared.events import Event
from shared.partitioner import partition_of
from shared.publish import Publisher
from shared.topics import FEEDBACK, TOPIC_OF
from tests.contract.examples import Example, all_examples, examples
from tests.support.servers import Servers

AT = datetime(2026, 3, 2, 1, 0, 2, 125_000, tzinfo=UTC)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = "客户-9".encode()
KCAT = shutil.which("kcat") or shutil.which("kafkacat")


def recorded(event: Event, key: bytes = KEY) -> Outgoing:
    producer = TOPIC_OF[type(event)].producer
    return encode(event, key=key, source=producer, at=AT, traceparent=TRACE)


def expect_of_sdk(read: Any, event: Event, value: bytes) -> None:
    """The SDK's event has our attributes, and the value as it was sent."""
    assert (read.get_type(), read.get_id()) == (event.type, str(event.id))
    assert read.get_source() == f"/cqm/{TOPIC_OF[type(event)].producer}"
    assert (read.get_specversion(), read.get_time()) == ("1.0", AT)
    assert read.get_datacontenttype() == "application/json"
    assert read.get_data() == json.loads(value)


@pytest.mark.parametrize("example", all_examples(), ids=lambda one: f"{one.type}-{one.name}")
def test_the_sdk_reads_what_the_codec_writes(example: Example) -> None:
    record = recorded(example.event)
    read = from_kafka_event(KafkaMessage(dict(record.headers), record.key, record.value))
    expect_of_sdk(read, example.event, record.value)
    assert read.get_extension("partitionkey") == KEY.decode()


def test_the_sdk_reads_a_record_keyed_by_sixteen_bytes_when_the_key_is_left_out() -> None:
    """It takes every key for text; docs/topics.md says so to those who read such a topic."""
    event = examples("cqm.case.changed.v1")[0].event
    record = recorded(event, key=bytes.fromhex("0192f0e47c2a8d319b3eabcdefabcdef"))
    with pytest.raises(UnicodeDecodeError):
        from_kafka_event(KafkaMessage(dict(record.headers), record.key, record.value))
    expect_of_sdk(
        from_kafka_event(KafkaMessage(dict(record.headers), None, record.value)), event, record.value
    )


@pytest.mark.parametrize("example", all_examples(), ids=lambda one: f"{one.type}-{one.name}")
def test_the_codec_reads_what_the_sdk_writes(example: Example) -> None:
    attributes = {
        "type": example.type,
        "id": str(example.event.id),
        "source": "/elsewhere",
        "time": AT,
        "datacontenttype": "application/json",
        "partitionkey": "C-9",
        "extra": "an extension that nobody knows",
    }
    message = to_binary_event(CloudEvent(attributes, json.loads(example.value)))
    assert decode(message.value, list(message.headers.items())) == (example.event, b"")


# --- on a real Kafka -----------------------------------------------------------------------------------


def fresh_feedback() -> Outgoing:
    """A full example under an id of its own, so that it is told apart on a topic that others use, too."""
    full = next(one for one in examples("cqm.feedback.received.v1") if one.name == "full.zh")
    identity = ids.fresh_id()
    said = json.loads(full.value) | {"id": str(identity), "external_id": str(identity)}
    event, _ = decode(
        json.dumps(said).encode(),
        [("ce_specversion", b"1.0"), ("ce_id", str(identity).encode()), ("ce_type", full.type.encode())],
    )
    return recorded(event)


@asynccontextmanager
async def following(servers: Servers, partition: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group at the end of the partition."""
    async with AIOKafkaConsumer(bootstrap_servers=servers.kafka, group_id=None) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        yield consumer


async def publish(servers: Servers, record: Outgoing) -> None:
    async with Publisher(servers.kafka, client_id="test-contract") as publisher:
        await publisher.publish([record])


async def test_the_sdk_reads_a_record_that_came_through_kafka(servers: Servers) -> None:
    record = fresh_feedback()
    partition = TopicPartition(FEEDBACK.name, partition_of(KEY, FEEDBACK.partitions))
    async with following(servers, partition) as consumer, asyncio.timeout(30):
        await consumer.position(partition)
        await publish(servers, record)
        async for found in consumer:
            if dict(found.headers)["ce_id"] == dict(record.headers)["ce_id"]:
                break
    read = from_kafka_event(KafkaMessage(dict(found.headers), found.key, found.value))
    event, trace = decode(record.value, record.headers)
    expect_of_sdk(read, event, record.value)
    assert (dict(found.headers)["traceparent"], trace) == (TRACE, TRACE)


@pytest.mark.skipif(KCAT is None, reason="kcat is not installed (apt-get install kcat)")
async def test_kcat_prints_headers_key_and_value(servers: Servers) -> None:
    record = fresh_feedback()
    partition = TopicPartition(FEEDBACK.name, partition_of(KEY, FEEDBACK.partitions))
    async with following(servers, partition) as consumer:
        before = await consumer.position(partition)
    await publish(servers, record)
    lines = (await kcat(servers, partition, before)).splitlines()
    found = [line.split("\t") for line in lines]
    headers, key, value = next(one for one in found if dict(record.headers)["ce_id"].decode() in one[0])
    assert dict(pair.split("=", 1) for pair in headers.split(",")) == {
        name: content.decode() for name, content in record.headers
    }
    assert key == KEY.decode()
    assert json.loads(value) == json.loads(record.value)


async def kcat(servers: Servers, partition: TopicPartition, offset: int) -> str:
    """What kcat prints of a partition from an offset to its end: headers, key and value with tabs between."""
    place = ["-t", partition.topic, "-p", str(partition.partition), "-o", str(offset)]
    process = await asyncio.create_subprocess_exec(
        str(KCAT), "-C", "-q", "-e", "-b", servers.kafka, *place, "-f", r"%h\t%k\t%s\n",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaint.decode()
    return said.decode()
