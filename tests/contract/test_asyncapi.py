"""asyncapi.yaml and the topic table say what the services really do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from shared.codec import encode
from shared.contracts.asyncapi import DEAD_LETTER, asyncapi
from shared.contracts.wire import DEAD_LETTER_HEADERS, HEADERS, OPTIONAL_HEADERS, SERVICES
from shared.dead_letters import Letter, Origin, dead_letter
from shared.errors import PermanentError
from shared.events import EVENTS
from shared.topics import MAX_LETTER_BYTES, TOPIC_OF, TOPICS
from tests.contract.examples import examples
from tests.contract.wired import apps, handlers, service

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
CONTRACTS = Path(__file__).parents[2] / "shared/contracts"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DOCUMENT = asyncapi()


def follow(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [one for item in node for one in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [one for item in node.values() for one in references(item)]


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    for reference in found:
        assert follow(reference) if reference.startswith("#") else (CONTRACTS / reference).is_file()
    assert {one for one in found if one.startswith("./")} == {f"./{e.type}.schema.json" for e in EVENTS}


def test_the_file_reads_as_the_document() -> None:
    assert yaml.safe_load((CONTRACTS / "asyncapi.yaml").read_text(encoding="utf-8")) == DOCUMENT


def test_every_topic_has_its_channel_and_every_event_its_message() -> None:
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {t.name for t in TOPICS}
    assert DOCUMENT["components"]["messages"].keys() == {event.type for event in EVENTS} | {DEAD_LETTER}


@pytest.mark.parametrize("name", SERVICES)
def test_the_groups_are_those_that_the_service_joins(name: str) -> None:
    described = {
        follow(operation["channel"]["$ref"])["address"]: operation["bindings"]["kafka"]["groupId"]["const"]
        for key, operation in DOCUMENT["operations"].items()
        if key.startswith(f"{name}.receive.")
    }
    assert described == {stream.topic.name: stream.group for stream in service(name).streams}


def test_the_consumers_of_the_topic_table_are_those_that_are_wired() -> None:
    assert apps().keys() == set(SERVICES)
    told = {(topic.name, consumer) for topic in TOPICS if topic.events for consumer in topic.consumers}
    assert told == handlers().keys()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_the_headers_of_a_record_are_those_described(event: Any) -> None:
    topic = TOPIC_OF[event]
    described = DOCUMENT["components"]["messages"][event.type]["headers"]
    told = next(one.event for one in examples(event.type))
    for trace, expected in ((TRACE, set(HEADERS)), (b"", set(HEADERS) - OPTIONAL_HEADERS)):
        record = encode(told, key=b"k", source=topic.producer, at=NOW, traceparent=trace)
        headers = {name: content.decode() for name, content in record.headers}
        assert headers.keys() == expected
        jsonschema.validate(headers, described, format_checker=jsonschema.FormatChecker())


def test_the_headers_of_a_dead_letter_are_those_described() -> None:
    why, first = PermanentError("no_value", "the record has no value"), ("dlt_replay_of", b"g/t/3/1")
    place = ("cqm.sla.cases", "cqm.cases.v1", 3, 17, 1_772_413_200_000)
    plain = dead_letter(Origin(*place, None, None, (first,)), why, attempts=1, at=NOW)
    cut = dead_letter(Origin(*place, b"k", b"v" * MAX_LETTER_BYTES, ()), why, attempts=1, at=NOW)
    read = Letter.read(plain.key, plain.value, tuple(plain.headers))
    assert read is not None
    seen = {name for one in (plain, cut, read.receipt(NOW)) for name, _ in one.headers}
    assert seen == set(DEAD_LETTER_HEADERS)
