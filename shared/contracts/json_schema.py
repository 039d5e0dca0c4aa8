"""JSON Schema (2020-12) of the events, from the structs that read them."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from shared.events import EVENTS
from shared.topics import TOPIC_OF

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def event_schemas() -> dict[str, Schema]:
    """A schema per event type, by the type's name, in the order of EVENTS.

    Fields that no schema names are allowed everywhere: consumers ignore what they do not know. `x-topic` is
    the topic that carries the event; moving it is a breaking change like any other.
    """
    return {event.type: _schema(event) for event in EVENTS}


def _schema(event: Any) -> Schema:
    (root,), parts = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    parts = {name: _tidy(part) for name, part in parts.items()}
    whole = parts.pop(root["$ref"].removeprefix("#/$defs/"))
    named = {"$schema": DIALECT, "$id": f"urn:cqm:event:{event.type}", "x-topic": TOPIC_OF[event].name}
    return {**named, **whole, "$defs": {name: parts[name] for name in sorted(parts)}}


def _tidy(node: Any) -> Any:
    """As JSON has it: lists for tuples, and docstrings without the indentation of their source."""
    if isinstance(node, list | tuple):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: inspect.cleandoc(content)
        if name == "description" and isinstance(content, str)
        else _tidy(content)
        for name, content in node.items()
    }
