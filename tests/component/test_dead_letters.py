"""`cqm dlt` on a real Kafka: letters are listed, shown, and replayed with one effect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from typer.testing import CliRunner, Result

from deploy.cli import build
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from shared import ids
from shared.clock import SystemClock
from shared.dead_letters import Origin, dead_letter
from shared.errors import PermanentError, Unavailable
from shared.topics import ASSIGNMENTS, FEEDBACK, Topic
from tests.support.apps import running_app
from tests.support.reading import read_topic
from tests.support.servers import Servers
from tests.support.spine import Recorder, eventually, feedback, record, running, topic_of_its_own

Dlt = Callable[..., Awaitable[Result]]


@pytest.fixture
def dlt(servers: Servers) -> Dlt:
    """`cqm dlt ...` against the Kafka of the tests, as a shell would call it."""

    async def call(*arguments: str, kafka: str = servers.kafka) -> Result:
        env = {"CQM_KAFKA": kafka, "COLUMNS": "200"}
        return await asyncio.to_thread(CliRunner().invoke, build(), ["dlt", *arguments], env=env)

    return call


async def listed(dlt: Dlt, topic: Topic, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        (await dlt("list", "--topic", topic.name, "--json", *more)).stdout
    )
    return found


async def stored_is(recorder: Recorder, count: int) -> bool:
    return bool(await recorder.collection.count_documents({}) == count)


def broken() -> PermanentError:
    return PermanentError("refused", "a bug that will be mended")


async def test_a_letter_is_done_once_by_a_replay_after_the_fix_and_not_twice_by_another(
    servers: Servers, prefix: str, dlt: Dlt
) -> None:
    run = uuid4().hex
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic) as (service, recorder),
    ):
        recorder.failing["poison"] = broken
        poison, good = feedback(1, text="poison", run=run), feedback(2, run=run)
        await service.publisher.publish([record(event, topic.name) for event in (poison, good)])
        (letter,) = await eventually(lambda: listed(dlt, topic))
        assert (letter["reason"], letter["topic"], letter["replayed"]) == ("refused", topic.name, None)
        assert letter["id"].startswith(f"{service.streams[0].group}/{topic.name}/")

        # before the fix: it fails again, and the new letter says of which one it is the replay
        assert (await dlt("replay", "--id", letter["id"])).exit_code == 0
        _, second = await eventually(lambda: letters_are(dlt, topic, 2))
        assert second["replay_of"] == letter["id"] and second["id"] != letter["id"]
        assert [one["id"] for one in await listed(dlt, topic, "--waiting")] == [second["id"]]

        recorder.failing.clear()
        result = await dlt("replay", "--topic", topic.name)
        assert result.exit_code == 0 and "1 replayed" in result.stdout, result.output
        assert "1 were replayed before" in result.stderr
        await eventually(lambda: stored_is(recorder, 2))
        assert all(one["replayed"] for one in await listed(dlt, topic))

        handled = service.streams[0].handled
        assert (
            json.loads((await dlt("replay", "--topic", topic.name, "--again", "--json")).stdout)["before"]
            == 0
        )
        await eventually(lambda: service.streams[0].handled >= handled + 2)
        assert await stored_is(recorder, 2)
        events = [dict(one.headers)["ce_id"] for one in await read_topic(servers.kafka, ASSIGNMENTS.name)]
        assert events.count(str(ids.event_id(poison.id, "said", 1)).encode()) == 1


async def letters_are(dlt: Dlt, topic: Topic, count: int) -> list[dict[str, Any]]:
    found = await listed(dlt, topic)
    return found if len(found) == count else []


async def test_a_record_that_two_services_can_do_is_one_case_however_often_it_is_replayed(
    servers: Servers, prefix: str, dlt: Dlt
) -> None:
    settings = RoutingSettings(kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text")
    async with running_app(build_routing(settings)) as routing:
        given = record(feedback(0, run=prefix), FEEDBACK.name)
        origin = Origin(f"{prefix}.routing.feedback", FEEDBACK.name, 0, 10**9, 0, given.key, given.value,
                        tuple(given.headers))  # fmt: skip
        why = PermanentError("retries_exhausted", "still failing after 9 attempts")
        letter = dead_letter(origin, why, attempts=9, at=SystemClock().now())
        await routing.service.publisher.publish([letter, letter])  # a crash may say it twice
        (found,) = [one for one in await listed(dlt, FEEDBACK) if one["group"] == origin.group]
        for _ in range(3):
            assert (await dlt("replay", "--id", found["id"], "--again")).exit_code == 0
        await eventually(lambda: one_case(routing, prefix), what="a case")
        stream = routing.service.streams[0]
        await eventually(lambda: stream.handled >= 3, what="all three are done")
        assert len(await one_case(routing, prefix)) == 1
        cases = routing.service.database.cases
        assert await cases.count_documents({}) == 1


async def one_case(routing: Any, prefix: str) -> list[Any]:
    answer = await routing.http.get("/v1/cases", params={"feedback_id": str(feedback(0, run=prefix).id)})
    items: list[Any] = answer.json()["items"]
    return items


async def test_what_a_record_lacked_it_lacks_again_and_it_stays_on_its_partition(
    servers: Servers, prefix: str, dlt: Dlt
) -> None:
    async with (
        topic_of_its_own(servers.kafka) as topic,
        running(servers, prefix, topic),
        AIOKafkaProducer(bootstrap_servers=servers.kafka) as producer,
    ):
        headers = [("odd", None), ("ce_id", b"1"), ("ce_id", b"2"), ("raw", b"\xff\xfe")]
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None, headers=headers)
        await (await producer.send_batch(batch, topic.name, partition=2))
        (letter,) = await eventually(lambda: listed(dlt, topic))
        shown = json.loads((await dlt("show", letter["id"], "--json")).stdout)
        assert (shown["key"], shown["value"], shown["partition"]) == (None, None, 2)
        assert [one["name"] for one in shown["headers"]] == ["odd", "ce_id", "ce_id", "raw"]
        assert r"\xff\xfe" in (await dlt("show", letter["id"])).stdout
        assert (await dlt("replay", "--all", "--group", letter["group"])).exit_code == 0
        _, again = await read_topic(servers.kafka, topic.name)
        assert (again.partition, again.key, again.value) == (2, None, None)
        assert list(again.headers[:-1]) == [(name, content or b"") for name, content in headers]
        assert dict(again.headers)["dlt_replay_of"].decode() == letter["id"]


async def test_a_record_too_large_for_a_letter_is_replayed_from_where_it_stands_until_it_is_gone(
    servers: Servers, prefix: str, dlt: Dlt
) -> None:
    async with (
        topic_of_its_own(servers.kafka, 1) as topic,
        running(servers, prefix, topic),
        AIOKafkaProducer(
            bootstrap_servers=servers.kafka, compression_type="gzip", max_request_size=4_000_000
        ) as producer,
    ):
        await producer.send_and_wait(topic.name, b"a" * 1_900_000, b"the key")
        (letter,) = await eventually(lambda: listed(dlt, topic))
        shown = json.loads((await dlt("show", letter["id"], "--json")).stdout)
        assert len(shown["value"]) == 1_900_000 and shown["key"] == "the key"
        result = await dlt("replay", "--id", letter["id"])
        assert result.exit_code == 0, result.output
        await eventually(lambda: letters_are(dlt, topic, 2))
        admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka)
        await admin.start()
        await admin.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(-1)})
        await admin.close()
        gone = await dlt("replay", "--id", letter["id"], "--again")
        assert gone.exit_code == 1 and "begins at offset 2 now" in gone.stderr
        assert isinstance((await dlt("show", letter["id"])).exception, Exception)


async def test_a_foreign_record_among_the_letters_is_no_letter(servers: Servers, dlt: Dlt) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka) as producer:
        for headers in ([], [("dlt_id", b"x")], [("dlt_id", b"x"), ("dlt_replayed", b"now")]):
            await producer.send_and_wait("cqm.dlt.v1", b"what is this", b"k", headers=headers)
    assert await listed(dlt, Topic("test.none", (), "", "", ())) == []


@pytest.mark.parametrize("words", [(), ("--again",)])
async def test_a_replay_has_to_say_which_letters(dlt: Dlt, words: tuple[str, ...]) -> None:
    result = await dlt("replay", *words)
    assert "which letters" in str(result.exception)


async def test_a_letter_that_is_not_there_stops_a_replay_before_anything_is_published(dlt: Dlt) -> None:
    result = await dlt("replay", "--id", "no/such/0/1")
    assert "no dead letter no/such/0/1" in str(result.exception)


async def test_a_kafka_that_is_away_is_said_in_one_sentence(dlt: Dlt) -> None:
    result = await dlt("list", kafka="127.0.0.1:1")
    assert isinstance(result.exception, Unavailable)
    assert "Kafka at 127.0.0.1:1 did not answer" in str(result.exception)
