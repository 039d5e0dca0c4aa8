"""Every example is the contract, and every consumer of its topic takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from services.analytics.domain import activity, cases, feedback, targets
from services.routing.domain.arriving import Known as KnownToRouting
from services.routing.domain.case_file import CaseFile
from services.routing.domain.pool import Seat
from services.routing.domain.roster import roster
from services.routing.domain.turn import Turn
from shared.codec import decode, encode
from shared.contracts.json_schema import event_schemas
from shared.events import CaseChanged
from shared.handler import Batch, Cause, Decision, Partition, Received
from shared.policy import load_policy
from shared.settings import DEMO_POLICY
from shared.topics import TOPIC_OF, TOPICS
from tests.contract.examples import FOLDER, TYPES, Example, all_examples, examples, headers_of
from tests.contract.wired import handlers
from tests.support.seals import unsealed

NOW = datetime(2026, 3, 20, 1, tzinfo=UTC)
NAMES = {"minimal", "full.zh", "full.en", "unknown-fields"}
POLICY = load_policy(DEMO_POLICY)
NOTHING_STORED: dict[tuple[str, str], Any] = {
    ("cqm.feedback.v1", "routing"): (KnownToRouting({}, [], unsealed), POLICY),
    ("cqm.feedback.v1", "analytics"): feedback.Known({}, {}),
    ("cqm.activity.v1", "analytics"): activity.Known({}, {}),
    ("cqm.assignments.v1", "routing"): ([], POLICY),
    ("cqm.cases.v1", "sla"): {},
    ("cqm.cases.v1", "analytics"): cases.Known({}, {}, {}),
    ("cqm.sla.v1", "routing"): {},
    ("cqm.sla.v1", "analytics"): targets.Known({}, {}),
}
FED = [
    pytest.param(example, consumer, id=f"{consumer}-{example.type}-{example.name}")
    for example in all_examples()
    for consumer in TOPIC_OF[TYPES[example.type]].consumers
]


def batch(*told: Example) -> Batch[Any]:
    partition = Partition(TOPIC_OF[TYPES[told[0].type]].name, 3)
    return Batch([Received(one.event, Cause(partition), offset) for offset, one in enumerate(told)], NOW)


def test_every_type_has_its_examples_and_no_other_has() -> None:
    assert {path.name for path in FOLDER.iterdir()} == TYPES.keys()
    for event_type in TYPES:
        assert {example.name for example in examples(event_type)} >= NAMES, event_type


@pytest.mark.parametrize("example", all_examples(), ids=lambda one: f"{one.type}-{one.name}")
def test_an_example_fits_its_schema_and_survives_a_round_trip(example: Example) -> None:
    schema = event_schemas()[example.type]
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    checker.validate(json.loads(example.value))
    record = encode(example.event, key=b"k", source="test", at=NOW)
    assert decode(record.value, record.headers)[0] == example.event
    checker.validate(json.loads(record.value))


@pytest.mark.parametrize("event_type", TYPES)
def test_the_minimal_example_has_the_required_fields_and_no_other(event_type: str) -> None:
    schema = event_schemas()[event_type]
    minimal = next(one for one in examples(event_type) if one.name == "minimal")
    for said, described, where in objects(json.loads(minimal.value), schema, schema["$defs"]):
        assert said.keys() == set(described["required"]), where


@pytest.mark.parametrize("name", ["full.zh", "full.en"])
@pytest.mark.parametrize("event_type", TYPES)
def test_a_full_example_has_every_field_there_is(event_type: str, name: str) -> None:
    schema = event_schemas()[event_type]
    full = next(one for one in examples(event_type) if one.name == name)
    seen = set()
    for said, described, where in objects(json.loads(full.value), schema, schema["$defs"]):
        if described.get("title") == "Hold":
            said = {"end": None, **said}  # the hold that a case is in has no end yet
        assert said.keys() == described["properties"].keys(), where
        seen.add(described["title"])
    assert seen == {schema["title"], *schema["$defs"]}


def objects(said: Any, schema: Any, parts: Any, where: str = "") -> Iterator[tuple[dict[str, Any], Any, str]]:
    """Every object of the value with the schema that describes it and its path."""
    options = [parts.get(one.get("$ref", "")[8:], one) for one in schema.get("anyOf", [schema])]
    for described in options:
        if isinstance(said, dict) and "properties" in described:
            yield said, described, where
            for name, content in said.items():
                yield from objects(content, described["properties"].get(name, {}), parts, f"{where}/{name}")
        elif isinstance(said, list) and isinstance(described.get("items"), dict):
            for item in said:
                yield from objects(item, described["items"], parts, f"{where}[]")


@pytest.mark.parametrize("event_type", TYPES)
def test_fields_of_a_later_version_change_nothing(event_type: str) -> None:
    later = next(one for one in examples(event_type) if one.name == "unknown-fields")
    said = json.loads(later.value)

    def without(node: Any) -> Any:
        if isinstance(node, list):
            return [without(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {name: without(content) for name, content in node.items() if name != "from_a_later_version"}

    assert without(said) != said, "the example has a field of a later version"
    value = json.dumps(without(said)).encode()
    assert decode(value, headers_of(event_type, value))[0] == later.event


def test_every_consumer_is_fed() -> None:
    assert NOTHING_STORED.keys() == handlers().keys()
    assert {consumer for topic in TOPICS if topic.events for consumer in topic.consumers} == {
        consumer for _, consumer in NOTHING_STORED
    }


@pytest.mark.parametrize(("example", "consumer"), FED)
def test_a_consumer_takes_every_example_of_its_topic(example: Example, consumer: str) -> None:
    topic = TOPIC_OF[TYPES[example.type]].name
    handler = handlers()[topic, consumer]
    decision = handler.decide(batch(example), NOTHING_STORED[topic, consumer])
    assert isinstance(decision, Decision)
    assert list(decision.refused) == []
    for emit in decision.events:
        record = encode(emit.event, key=emit.key, source=consumer, at=emit.at)
        assert decode(record.value, record.headers)[0] == emit.event


@pytest.mark.parametrize("consumer", ["sla", "analytics"])
def test_a_consumer_ends_the_same_when_an_example_comes_twice(consumer: str) -> None:
    handler = handlers()["cqm.cases.v1", consumer]
    told = examples("cqm.case.changed.v1")
    once = handler.decide(batch(*told), NOTHING_STORED["cqm.cases.v1", consumer])
    twice = handler.decide(batch(*told, *told), NOTHING_STORED["cqm.cases.v1", consumer])
    assert [emit.event for emit in twice.events] == [emit.event for emit in once.events]


def test_an_assignment_is_given_out_for_the_cases_of_the_examples() -> None:
    """With something loaded: the pool of the example's department, and the case it asks about."""
    request = next(one for one in examples("cqm.assignment.requested.v1") if one.name == "full.zh")
    minimal = next(one.event for one in examples("cqm.case.changed.v1") if one.name == "minimal")
    assert isinstance(minimal, CaseChanged)
    seats: dict[str, Seat] = {}
    cause = batch(request).records[0].cause
    turn = Turn(roster(POLICY, "service", NOW), seats, [CaseFile(minimal.case)], [], cause)
    decision = handlers()["cqm.assignments.v1", "routing"].decide(batch(request), ([turn], POLICY))
    (told,) = [emit.event for emit in decision.events if isinstance(emit.event, CaseChanged)]
    assert told.case.version == 2
    assert told.change.type in {"assigned", "queued"}
