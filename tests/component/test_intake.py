"""Intake on a real Kafka: what is answered 202 is on its topic, as a CloudEvent, under its key."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from services.intake.app import build
from services.intake.settings import IntakeSettings
from shared import ids, topics
from shared.codec import decode
from shared.partitioner import partition_of
from tests.support.apps import Running, running_app
from tests.support.servers import Servers

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def intake(servers: Servers) -> AsyncIterator[Running]:
    async with running_app(
        build(IntakeSettings(kafka=servers.kafka, mongo=servers.mongo, log="text"))
    ) as running:
        yield running


@pytest.fixture
def shop() -> str:
    """A source of the test's own."""
    return f"shop-{uuid4().hex}"


@asynccontextmanager
async def records_after(servers: Servers, topic: str) -> AsyncIterator[Any]:
    """A function that waits for the next `n` records that come to `topic` from now on."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        await consumer.seek_to_end()

        async def read(source: str, count: int) -> list[ConsumerRecord]:
            found: list[ConsumerRecord] = []
            while len(found) < count:
                record = await consumer.getone()
                if source in record.value.decode():
                    found.append(record)
            return found

        yield read
    finally:
        await consumer.stop()


async def test_an_accepted_feedback_is_a_cloud_event_on_its_topic(
    intake: Running, servers: Servers, shop: str
) -> None:
    said = {
        "source": shop, "external_id": "R-1", "kind": "complaint", "text": "箱子坏了",
        "customer": {"id": "顾客-9", "name": "王"}, "occurred_at": "2026-03-02T09:00:00+08:00",
    }  # fmt: skip
    async with records_after(servers, topics.FEEDBACK.name) as read:
        answer = await intake.http.post("/v1/feedback", json=said, headers={"traceparent": TRACE})
        (record,) = await read(shop, 1)
    assert answer.status_code == 202, answer.text
    receipt, headers = answer.json(), dict(record.headers)
    identity = ids.signal_id("feedback", shop, "R-1")
    assert (receipt["id"], receipt["reference"]) == (str(identity), ids.reference(identity))
    assert record.key.decode() == "顾客-9"
    assert record.partition == partition_of(record.key, topics.FEEDBACK.partitions)
    assert (headers["ce_type"], headers["ce_id"]) == (b"cqm.feedback.received.v1", receipt["id"].encode())
    assert (headers["ce_source"], headers["traceparent"]) == (b"/cqm/intake", TRACE.encode())
    assert headers["ce_time"].decode() == receipt["received_at"]
    assert "箱子坏了".encode() not in record.value and "王".encode() not in record.value
    event = intake.service.seals.opened(decode(record.value, record.headers)[0])
    assert (event.text, event.language, event.occurred_at.isoformat()) == (
        "箱子坏了", "zh", "2026-03-02T01:00:00+00:00",
    )  # fmt: skip


async def test_the_same_identity_is_the_same_id_each_time(
    intake: Running, servers: Servers, shop: str
) -> None:
    said = {"source": shop, "external_id": "O-1", "kind": "order", "quantity": 2}
    async with records_after(servers, topics.ACTIVITY.name) as read:
        answers = [await intake.http.post("/v1/activity", json=said) for _ in range(2)]
        events = [decode(record.value, record.headers)[0] for record in await read(shop, 2)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert events[0].id == events[1].id and events[0].fingerprint == events[1].fingerprint


async def test_a_batch_of_lines_in_gzip_is_taken_but_for_the_bad_ones(
    intake: Running, servers: Servers, shop: str
) -> None:
    lines = [{"source": shop, "external_id": f"{n}", "kind": "review", "text": "ok"} for n in range(1200)]
    lines[700]["kind"] = "rumour"
    body = gzip.compress("\n".join(json.dumps(line) for line in lines).encode())
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    async with records_after(servers, topics.FEEDBACK.name) as read:
        answer = await intake.http.post("/v1/feedback/batch?items=rejected", content=body, headers=headers)
        found = await read(shop, 1199)
    report = answer.json()
    assert (answer.status_code, report["accepted"], report["rejected"]) == (207, 1199, 1)
    assert report["items"][0]["index"] == 700
    assert report["items"][0]["problem"]["errors"][0]["pointer"] == "/kind"
    said = {decode(record.value, record.headers)[0].external_id for record in found}
    assert said == {str(n) for n in range(1200)} - {"700"}
    assert all(record.key == dict(record.headers)["ce_id"] for record in found)


async def test_a_refused_feedback_is_nowhere(intake: Running, servers: Servers, shop: str) -> None:
    async with records_after(servers, topics.FEEDBACK.name) as read:
        refused = await intake.http.post("/v1/feedback", json={"source": shop, "kind": "x", "text": "first"})
        taken = await intake.http.post(
            "/v1/feedback", json={"source": shop, "kind": "call", "text": "second"}
        )
        (record,) = await read(shop, 1)
    assert (refused.status_code, taken.status_code) == (422, 202)
    assert decode(record.value, record.headers)[0].text == "second"


async def test_what_was_taken_and_refused_is_counted(intake: Running, shop: str) -> None:
    await intake.http.post("/v1/feedback", json={"source": shop, "kind": "call", "text": "x"})
    await intake.http.post("/v1/feedback", content=b"{", headers={"content-type": "application/json"})
    page = (await intake.http.get("/metrics")).text
    assert 'cqm_intake_accepted_total{door="single",kind_of_signal="feedback",source="api"}' in page
    assert 'cqm_intake_rejected_total{door="single",reason="malformed",source="api"}' in page
    assert 'cqm_intake_in_flight_bytes{door="single",source="api"} 0.0' in page
