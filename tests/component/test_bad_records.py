"""Bad Kafka records against the services that read them: one dead letter for every reader where one is due,
whole and with its reason, none where the record only says nothing new; and the neighbours are processed.

What the codec alone shows stands in tests/unit/test_codec.py, what the spine alone in test_spine.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI

from services.analytics.app import build as build_analytics
from services.analytics.settings import AnalyticsSettings
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from services.sla.app import build as build_sla
from services.sla.settings import SlaSettings
from shared.codec import Outgoing, encode
from shared.dead_letters import letter_facts
from shared.events import AssignmentRequested, EscalationRaised, Event
from shared.topics import ASSIGNMENTS, CASES, DEAD_LETTERS, FEEDBACK, MAX_LETTER_BYTES, SLA
from tests.support.analytics import NOON, case_changed, feedback, finished, labels
from tests.support.apps import running_app
from tests.support.reading import read_topic
from tests.support.servers import Servers
from tests.support.spine import eventually

RUN = uuid4().hex
READERS = {
    FEEDBACK.name: ("routing", "analytics"),
    CASES.name: ("sla", "analytics"),
    SLA.name: ("routing", "analytics"),
    ASSIGNMENTS.name: ("routing",),
}
Header = tuple[str, bytes | None]


class Raw(NamedTuple):
    """A record as it goes to Kafka, whatever it is worth."""

    value: bytes | None
    headers: list[Header]
    key: bytes | None = b"key"
    compression: str | None = None


def raw(event: Event, **changes: Any) -> Raw:
    told: Outgoing = encode(event, key=b"key", source="test", at=NOON)
    return Raw(told.value, list(told.headers))._replace(**changes)


def said(name: str, **given: Any) -> Event:
    return feedback((RUN, name), kind="praise", source=RUN, **given)


GOOD = raw(said("good"))
BODY, HEADERS = GOOD.value or b"", GOOD.headers


def without(*names: str) -> list[Header]:
    return [header for header in HEADERS if header[0] not in names]


def typed(name: str) -> list[Header]:
    return [*without("ce_type"), ("ce_type", name.encode())]


def escalation(**given: Any) -> Event:
    fields: dict[str, Any] = {"id": uuid4(), "case_id": uuid4(), "case_version": 1, "epoch": 1, "step": 1}
    return EscalationRaised(
        **fields | given, target="resolution", action="reassign", due_at=NOON, step_at=NOON, at=NOON,
        labels=labels(RUN),
    )  # fmt: skip


def request(**given: Any) -> Event:
    return AssignmentRequested(id=uuid4(), reason="opened", at=NOON, **given)


def of_case(name: str, version: int, **given: Any) -> Raw:
    return raw(case_changed((RUN, name), version, **given))


@dataclass(frozen=True)
class Row:
    """`records` go to one partition of `topic`, good neighbours around them. The last one is dead for
    `reason` at every reader, or ("") at none. `only`: the readers who find it dead. `cut`: none holds it.
    """

    name: str
    records: tuple[Raw, ...]
    reason: str = ""
    topic: str = FEEDBACK.name
    only: tuple[str, ...] = ()
    cut: bool = False

    @property
    def mourners(self) -> tuple[str, ...]:
        return (self.only or READERS[self.topic]) if self.reason else ()


DEEP = (
    json.dumps(json.loads(BODY) | {"attributes": 0})
    .encode()
    .replace(b'"attributes": 0', b'"attributes": ' + b"[" * 100_000)
)
BOMB = BODY.replace(b'"source":', b'"text":"' + b"x" * 20_000_000 + b'","source":')
HUGE = (
    (raw(said("huge", subject="x")).value or b"")
    .replace(b'"x"', b'"' + b"x" * 5_000_000 + b'"')
    .replace(b'"praise"', b'"complaint"')
)
CONFLICT = (raw(said("conflict")), raw(said("conflict", fingerprint="another")))
ROWS = (
    Row("a null key", (raw(said("null key"), key=None),)),
    Row("a null value", (Raw(None, HEADERS),), "no_value"),
    Row("nothing but a key", (Raw(None, []),), "missing_attribute"),
    Row("an empty value", (Raw(b"", HEADERS),), "invalid"),
    Row("not JSON", (Raw(b"\xff\xfe{", HEADERS),), "invalid"),
    Row("not the contract", (Raw(b'{"id":7}', HEADERS),), "invalid"),
    Row("too deep", (Raw(DEEP, HEADERS),), "invalid"),
    Row("an unknown type", (Raw(BODY, typed("cqm.feedback.withdrawn.v1")),), "unknown_type"),
    Row("an unknown version", (Raw(BODY, typed("cqm.feedback.received.v2")),), "unknown_type"),
    Row("no ce_id", (Raw(BODY, without("ce_id")),), "missing_attribute"),
    Row("an empty ce_id", (Raw(BODY, [*without("ce_id"), ("ce_id", b"")]),), "missing_attribute"),
    Row("a doubled ce_id", (Raw(BODY, [*HEADERS, ("ce_id", b"7")]),), "duplicate_attribute"),
    Row("no ce_type", (Raw(BODY, without("ce_type")),), "missing_attribute"),
    Row("CloudEvents 0.3", (Raw(BODY, [*HEADERS, ("ce_specversion", b"0.3")]),), "unsupported_specversion"),
    Row("headers with bad UTF-8", (raw(said("headers"), headers=[*HEADERS, ("odd", b"\xff\xfe")]),)),
    Row("bad UTF-8 in a record that is dead", (Raw(b"{", [*HEADERS, ("odd", b"\xff\xfe")]),), "invalid"),
    Row("a type with bad UTF-8", (Raw(BODY, [*without("ce_type"), ("ce_type", b"\xff")]),), "unknown_type"),
    Row("the same id with another body", CONFLICT, "conflict"),
    Row("the same id with the same body", (raw(said("twice")), raw(said("twice")))),
    Row("just below what Kafka takes", (Raw(b" " * 950_000, HEADERS),), "invalid"),
    Row("a compressed bomb", (Raw(b" " * 20_000_000, HEADERS, b"key", "gzip"),), "invalid", cut=True),
    Row("a bomb of 3 MB", (Raw(b" " * 3_000_000, HEADERS, b"key", "gzip"),), "invalid", cut=True),
    Row(
        "a bomb in the headers",
        (Raw(b"{", [*HEADERS, ("odd", b" " * 3_000_000)], b"key", "gzip"),),
        "invalid",
        cut=True,
    ),
    Row("a bomb that reads well", (Raw(BOMB, HEADERS, b"key", "gzip"),)),
    Row(
        "a bomb that no case can hold",
        (Raw(HUGE, HEADERS, b"key", "gzip"),),
        "too_large",
        only=("routing",),
        cut=True,
    ),
    Row("a version gap", (of_case("gap", 1), of_case("gap", 9)), topic=CASES.name),
    Row("a version regression", (of_case("back", 9), of_case("back", 2)), topic=CASES.name),
    Row("a case that is not one", (Raw(b'{"case":{}}', of_case("x", 1).headers),), "invalid", CASES.name),
    Row("an escalation of an unknown case", (raw(escalation()),), topic=SLA.name),
    Row("a verdict about an unknown case", (raw(finished((RUN, "nobody"))),), topic=SLA.name),
    Row("a verdict that is not one", (Raw(b"[]", raw(escalation()).headers),), "invalid", SLA.name),
    Row(
        "a request for an unknown case",
        (raw(request(department="service", case_id=uuid4())),),
        topic=ASSIGNMENTS.name,
    ),
    Row("a request to an unknown department", (raw(request(department=RUN)),), topic=ASSIGNMENTS.name),
    Row(
        "a request that is not one",
        (Raw(b"{}", raw(request(department="x")).headers),),
        "invalid",
        ASSIGNMENTS.name,
    ),
)


@dataclass(frozen=True)
class Sent:
    """Where a row's last record went, and what stood around it."""

    partition: int
    offset: int
    neighbours: tuple[UUID, ...]


def neighbour(topic: str, name: str) -> Event:
    """A good record of the topic that each of its readers keeps."""
    if topic == FEEDBACK.name:
        return said(name)
    if topic == SLA.name:
        return finished((RUN, name))
    if topic == ASSIGNMENTS.name:
        return request(department=RUN)
    return case_changed((RUN, name), 1)


@dataclass(frozen=True)
class Played:
    """All rows sent and all neighbours processed: the letters, and the services' databases."""

    prefix: str
    sent: dict[str, Sent]
    letters: list[Any]
    databases: dict[str, Any]

    def letters_of(self, row: Row) -> list[tuple[dict[str, str], Any]]:
        """What the dead letters say of the row's last record, each with the letter itself."""
        told = [(letter_facts(letter.headers), letter) for letter in self.letters]
        place = row.topic, str(self.sent[row.name].partition), str(self.sent[row.name].offset)
        return [
            (facts, letter)
            for facts, letter in told
            if facts["group"].startswith(self.prefix)
            and (facts["topic"], facts["partition"], facts["offset"]) == place
        ]


@pytest.fixture(scope="module")
async def played(servers: Servers) -> AsyncIterator[Played]:
    prefix = f"t{uuid4().hex[:10]}"
    common: dict[str, Any] = {
        "kafka": servers.kafka, "mongo": servers.mongo, "database_prefix": prefix, "log": "text",
        "session_timeout": 6.0,
    }  # fmt: skip
    apps: list[FastAPI] = [
        build_routing(RoutingSettings(**common)),
        build_sla(SlaSettings(**common)),
        build_analytics(AnalyticsSettings(**common)),
    ]
    async with AsyncExitStack() as stack:
        services = [(await stack.enter_async_context(running_app(app))).service for app in apps]
        sent = await send_all(servers.kafka)
        for service in services:
            for stream in service.streams:
                wanted = [one for row in ROWS if row.topic == stream.topic.name for one in [sent[row.name]]]
                await eventually(
                    lambda s=stream, w=wanted: past(s, w), within=60, what=f"{stream.group} done"
                )
            assert not service.problems()
        letters = await read_topic(servers.kafka, DEAD_LETTERS.name)
        yield Played(prefix, sent, letters, {service.name: service.database for service in services})


def past(stream: Any, sent: list[Sent]) -> bool:
    """Whether the stream has moved beyond the neighbours behind these records."""
    next_of = {one.partition: held.next for one, held in stream.processor.exactly_once.positions.items()}
    return all((next_of.get(one.partition) or 0) > one.offset + 1 for one in sent)


async def send_all(kafka: str) -> dict[str, Sent]:
    """Every row with a good record before and after it, each row on a partition in turn."""
    sent = {}
    async with AsyncExitStack() as stack:
        producers = {
            kind: await stack.enter_async_context(
                AIOKafkaProducer(
                    bootstrap_servers=kafka, compression_type=kind, max_request_size=64_000_000,
                    max_batch_size=64_000_000,
                )
            )
            for kind in (None, "gzip")
        }  # fmt: skip
        for number, row in enumerate(ROWS):
            partition, around = number % 3, [neighbour(row.topic, f"{row.name} {side}") for side in range(2)]
            before, after = map(raw, around)
            for one in (before, *row.records, after):
                last = await producers[one.compression].send_and_wait(
                    row.topic, one.value, one.key, partition=partition, headers=one.headers
                )
            sent[row.name] = Sent(partition, last.offset - 1, tuple(event.id for event in around))
    return sent


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_a_bad_record_is_one_dead_letter_for_each_reader_where_one_is_due(
    played: Played, row: Row
) -> None:
    found = played.letters_of(row)
    groups = sorted(facts["group"].split(".")[1] for facts, _ in found)
    assert groups == sorted(row.mourners), [facts for facts, _ in found]
    assert {facts["reason"] for facts, _ in found} <= {row.reason}


@pytest.mark.parametrize("row", [row for row in ROWS if row.reason], ids=lambda row: row.name)
async def test_a_dead_letter_keeps_the_record_as_it_was(played: Played, row: Row) -> None:
    bad = row.records[-1]
    for facts, letter in played.letters_of(row):
        assert ("cut" in facts) == row.cut
        if row.cut:
            assert letter.value == b"" and int(facts["cut"]) > MAX_LETTER_BYTES
            continue
        assert letter.value == (bad.value or b"")
        assert [header for header in letter.headers if not header[0].startswith("dlt_")] == bad.headers


STORED: dict[tuple[str, str], Callable[[Any, UUID], Any]] = {
    ("routing", FEEDBACK.name): lambda database, one: database.feedback.find_one({"_id": one}),
    ("analytics", FEEDBACK.name): lambda database, one: database.feedback_facts.find_one({"_id": one}),
}


@pytest.mark.parametrize("row", [row for row in ROWS if row.topic == FEEDBACK.name], ids=lambda row: row.name)
async def test_the_neighbours_of_a_bad_record_are_stored(played: Played, row: Row) -> None:
    for reader in READERS[row.topic]:
        for one in played.sent[row.name].neighbours:
            assert await STORED[reader, row.topic](played.databases[reader], one)
