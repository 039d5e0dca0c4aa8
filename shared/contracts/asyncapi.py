"""AsyncAPI 3.0: which service says and hears what, on which topic, with which headers.

FastStream could write one from its subscribers, but without consumer groups, and without what is published.
"""

from __future__ import annotations

from typing import Any

from shared.contracts.wire import (
    DEAD_LETTER_HEADERS,
    HEADERS,
    OPTIONAL_HEADERS,
    SERVICES,
    group_of,
    heard_by,
    said_by,
)
from shared.events import Event
from shared.topics import DEAD_LETTERS, TOPICS, Topic

KAFKA_BINDING = "0.5.0"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
DEAD_LETTER = "dead_letter"
Node = dict[str, Any]


def asyncapi() -> Node:
    """The document as plain data."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CQM events",
            "version": "1",
            "description": (
                "Customer feedback as an event stream. CloudEvents 1.0 in Kafka's binary mode; contracts "
                "only grow, and consumers ignore fields that they do not know."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "CQM_KAFKA"}},
            }
        },
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": _operations(),
        "components": {"messages": _messages()},
    }


def _channel(topic: Topic) -> Node:
    kept = topic.config(min_insync_replicas=1)
    return {
        "address": topic.name,
        "description": f"Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [kept["cleanup.policy"]],
                    "retention.ms": int(kept["retention.ms"]),
                    "max.message.bytes": int(kept["max.message.bytes"]),
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _operations() -> Node:
    operations: Node = {}
    for service in SERVICES:
        for topic in said_by(service):
            operations[f"{service}.send.{topic.name}"] = _operation("send", service, topic)
        for topic in heard_by(service):
            operations[f"{service}.receive.{topic.name}"] = _operation("receive", service, topic)
    return operations


def _operation(action: str, service: str, topic: Topic) -> Node:
    binding: Node = {"clientId": {"type": "string", "const": f"cqm-{service}"}}
    if action == "receive":
        binding["groupId"] = {"type": "string", "const": group_of(service, topic)}
    channel = f"#/channels/{topic.name}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _names(topic)],
        "bindings": {"kafka": {**binding, "bindingVersion": KAFKA_BINDING}},
    }


def _messages() -> Node:
    events = {event.type: _message(topic, event) for topic in TOPICS for event in topic.events}
    return events | {DEAD_LETTER: _dead_letter()}


def _message(topic: Topic, event: type[Event]) -> Node:
    known: Node = {
        "ce_specversion": {"const": "1.0"},
        "ce_source": {"const": f"/cqm/{topic.producer}"},
        "ce_type": {"const": event.type},
        "ce_id": {"format": "uuid"},
        "ce_time": {"format": "date-time"},
        "content-type": {"const": "application/json"},
        "traceparent": {"pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
    }
    headers = {name: {"type": "string", **known[name], "description": text} for name, text in HEADERS.items()}
    return {
        "name": event.type,
        "title": event.__name__,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": headers,
            "required": [name for name in HEADERS if name not in OPTIONAL_HEADERS],
        },
        "payload": {
            "schemaFormat": SCHEMA_FORMAT,
            "schema": {"$ref": f"./{event.type}.schema.json"},
        },
        "bindings": _keyed(topic),
    }


def _dead_letter() -> Node:
    headers = {name: {"type": "string", "description": text} for name, text in DEAD_LETTER_HEADERS.items()}
    return {
        "name": DEAD_LETTER,
        "title": "DeadLetter",
        "summary": "A record that failed, as it was, with the reason beside its own headers.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": headers},
        "bindings": _keyed(DEAD_LETTERS),
    }


def _keyed(topic: Topic) -> Node:
    key = {"type": "string", "format": "binary", "description": topic.key}
    return {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}}


def _names(topic: Topic) -> list[str]:
    return [event.type for event in topic.events] or [DEAD_LETTER]
