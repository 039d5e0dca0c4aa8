"""Each way to break a contract is noticed, and what only adds passes."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Struct, field

from shared.contracts import Break, breaks, breaks_of_all

EVENT = "cqm.thing.happened.v1"
Schema = dict[str, Any]
_numbers = itertools.count(1)


class Part(Struct):
    colour: Literal["red", "blue"] = "red"
    size: int = 0


class Thing(Struct):
    """The released contract."""

    id: UUID
    at: datetime
    state: Literal["new", "done"]
    name: str = ""
    mood: Literal["good", "bad"] | Literal[""] = ""
    part: Part = field(default_factory=Part)
    maybe: Part | None = None
    parts: tuple[Part, ...] = ()
    numbers: dict[str, int] = field(default_factory=dict)
    score: int | float = 0


OLD = msgspec.json.schema(Thing)


def changed(**fields: Any) -> Schema:
    """The contract with these fields instead, each (type,) or (type, default); None takes one away."""
    kept: dict[str, Any] = {}
    for one in msgspec.structs.fields(Thing):
        if one.default is not msgspec.NODEFAULT:
            kept[one.name] = (one.type, one.default)
        elif one.default_factory is not msgspec.NODEFAULT:
            kept[one.name] = (one.type, field(default_factory=one.default_factory))
        else:
            kept[one.name] = (one.type,)
    kept |= fields
    listed = [(name, *said) for name, said in kept.items() if said is not None]
    return msgspec.json.schema(msgspec.defstruct("Thing", listed, kw_only=True))


def part(*fields: Any) -> type[Struct]:
    """A part like the released one, with these fields. Its name is its own: two of one name are an error."""
    return msgspec.defstruct(f"Part{next(_numbers)}", fields)


def of(kind: type[Struct]) -> tuple[Any, ...]:
    """A field that holds this part, an empty one when it is absent."""
    return kind, field(default_factory=kind)


SAME = ("size", int, 0)
COLOUR = ("colour", Literal["red", "blue"], "red")

BREAKING: dict[str, tuple[Schema, set[tuple[str, str]]]] = {
    "a field is gone": (changed(name=None), {("removed_property", "name")}),
    "a field has another name": (
        changed(name=None, title=(str, "")),
        {("removed_property", "name")},
    ),
    "a field has another type": (
        changed(name=(int, 0)),
        {("changed_type", "name"), ("changed_default", "name")},
    ),
    "a field may be null": (
        changed(id=(UUID | None,)),
        {("changed_type", "id"), ("changed_constraint", "id")},
    ),
    "a field may no longer be null": (
        changed(maybe=(Part, field(default_factory=Part))),
        {("changed_type", "maybe"), ("changed_default", "maybe")},
    ),
    "a number has lost an alternative": (changed(score=(int, 0)), {("changed_type", "score")}),
    "a new field is required": (changed(reason=(str,)), {("new_required", "reason")}),
    "an old field is required now": (
        changed(name=(str,)),
        {("new_required", "name"), ("changed_default", "name")},
    ),
    "a required field may be absent": (
        changed(id=(UUID, None)),
        {("no_longer_required", "id"), ("changed_default", "id")},
    ),
    "an enumeration is narrowed": (changed(state=(Literal["new"],)), {("narrowed_enum", "state")}),
    "an enumeration is widened": (
        changed(state=(Literal["new", "done", "lost"],)),
        {("widened_enum", "state")},
    ),
    "an enumeration in two parts is narrowed": (
        changed(mood=(Literal["good"] | Literal[""], "")),
        {("narrowed_enum", "mood")},
    ),
    "an enumeration became any text": (changed(state=(str,)), {("changed_type", "state")}),
    "a format is another": (changed(id=(str,)), {("changed_constraint", "id")}),
    "a limit is new": (
        changed(name=(Annotated[str, Meta(max_length=9)], "")),
        {("changed_constraint", "name")},
    ),
    "a default is another": (changed(name=(str, "none")), {("changed_default", "name")}),
    "a default of 0 became false": (changed(score=(int | float, False)), {("changed_default", "score")}),
    "a map holds other values": (
        changed(numbers=(dict[str, str], field(default_factory=dict))),
        {("changed_type", "numbers{}")},
    ),
    "a map holds anything": (
        changed(numbers=(dict[str, Any], field(default_factory=dict))),
        {("changed_type", "numbers{}")},
    ),
    "a field of a part is gone": (
        changed(part=of(part(SAME))),
        {("removed_property", "part.colour")},
    ),
    "the parts of a list are narrower": (
        changed(parts=(tuple[part(("colour", Literal["red"], "red"), SAME), ...], ())),
        {("narrowed_enum", "parts[].colour")},
    ),
    "a part that may be null is wider": (
        changed(maybe=(part(("colour", Literal["red", "blue", "green"], "red"), SAME) | None, None)),
        {("widened_enum", "maybe.colour")},
    ),
}
ADDITIVE: dict[str, Schema] = {
    "nothing": changed(),
    "a new field with a default": changed(reason=(str, ""), tags=(tuple[str, ...], ())),
    "a new field in a part": changed(part=of(part(COLOUR, SAME, ("weight", float, 0.0)))),
    "a new part": changed(other=of(part(COLOUR))),
    "the values of an enumeration in another order": changed(state=(Literal["done", "new"],)),
    "an enumeration in two parts became one": changed(mood=(Literal["good", "bad", ""], "")),
    "other words": OLD | {"description": "other", "title": "Other"},
}


@pytest.mark.parametrize(("new", "expected"), BREAKING.values(), ids=BREAKING.keys())
def test_a_breaking_change_is_noticed_where_it_is(new: Schema, expected: set[tuple[str, str]]) -> None:
    assert {(one.kind, one.path) for one in breaks(EVENT, OLD, new)} == expected


@pytest.mark.parametrize("new", ADDITIVE.values(), ids=ADDITIVE.keys())
def test_what_only_adds_passes(new: Schema) -> None:
    assert breaks(EVENT, OLD, new) == []


def test_an_event_that_is_gone_is_noticed_and_a_new_one_is_welcome() -> None:
    found = breaks_of_all({EVENT: OLD}, {"cqm.other.v1": OLD})
    assert [(one.kind, one.event) for one in found] == [("removed_event", EVENT)]


def test_an_event_on_another_topic_is_noticed() -> None:
    (found,) = breaks(EVENT, OLD | {"x-topic": "a"}, OLD | {"x-topic": "b"})
    assert (found.kind, found.path) == ("changed_constraint", "")


def test_a_part_that_moved_into_the_definitions_is_no_change() -> None:
    inline = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}
    referring = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": "object", "properties": {}}},
    }
    assert breaks(EVENT, inline, referring) == breaks(EVENT, referring, inline) == []


def test_a_widened_enumeration_passes_once_it_was_agreed_that_consumers_come_first() -> None:
    new = changed(state=(Literal["new", "done", "lost"],))
    assert breaks_of_all({EVENT: OLD}, {EVENT: new}, agreed=[(EVENT, "state")]) == []
    assert breaks_of_all({EVENT: OLD}, {EVENT: new}, agreed=[(EVENT, "mood")])
    narrower = changed(state=(Literal["new"],))
    assert breaks_of_all({EVENT: OLD}, {EVENT: narrower}, agreed=[(EVENT, "state")])


def test_a_finding_reads_as_a_sentence() -> None:
    found = Break("removed_property", EVENT, "part.colour", "consumers of the last release read it")
    assert str(found) == f"{EVENT} part.colour: removed_property, consumers of the last release read it"
