"""The examples of shared/contracts/examples, read through the codec as a consumer reads a record."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.codec import decode
from shared.events import EVENTS, Event

FOLDER = Path(__file__).parents[2] / "shared/contracts/examples"
TYPES = {event.type: event for event in EVENTS}


class Identified(msgspec.Struct):
    """All that has to be known of a value before its headers can be made."""

    id: str


class Example(NamedTuple):
    """A value as it stands in its file, and the event that a consumer makes of it."""

    type: str
    name: str
    value: bytes
    event: Event


def headers_of(event_type: str, value: bytes) -> list[tuple[str, bytes]]:
    """The headers without which no record is read."""
    identity = msgspec.json.decode(value, type=Identified).id
    return [("ce_specversion", b"1.0"), ("ce_type", event_type.encode()), ("ce_id", identity.encode())]


def examples(event_type: str) -> list[Example]:
    """All examples of one type, by name. Raises PermanentError for one that is not the contract."""
    found = []
    for path in sorted((FOLDER / event_type).glob("*.json")):
        value = path.read_bytes()
        event, _ = decode(value, headers_of(event_type, value))
        found.append(Example(event_type, path.stem, value, event))
    return found


def all_examples() -> list[Example]:
    return [example for event_type in TYPES for example in examples(event_type)]
