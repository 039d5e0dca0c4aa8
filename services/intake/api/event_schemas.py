"""What OpenAPI says of POST /v1/events, made from the types that read the attributes and the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.intake.api.openapi import RECEIPT, REPORT, inlined, operation
from services.intake.api.signals import Signal
from services.intake.api.splitting import JSON, MAX_ITEMS
from services.intake.domain.cloudevents import EXTENSION, KINDS, REQUIRED

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
_EXAMPLE = {
    "specversion": "1.0",
    "type": "cqm.feedback.v1",
    "source": "/shop-cn/reviews",
    "id": "R-20260302-17",
    "time": "2026-03-02T01:00:00Z",
    "datacontenttype": "application/json",
    "data": {"kind": "complaint", "text": "The box arrived broken."},
}


def events(signals: Sequence[Signal]) -> dict[str, Any]:
    """The operation that takes CloudEvents, in each of the three modes."""
    data = {"oneOf": [inlined(signal) for signal in signals]}
    event = _event(data)
    array = {"type": "array", "maxItems": MAX_ITEMS, "items": event}
    bodies = {JSON: {"schema": data}, STRUCTURED: {"schema": event}, BATCHED: {"schema": array}}
    answers: dict[int, tuple[str, Any]] = {
        202: ("Kafka has it; of a batch, all of it", {"oneOf": [RECEIPT, REPORT]}),
        207: ("Not all of a batch were taken", REPORT),
    }
    return operation(bodies, answers, [_header(name) for name in KINDS if name != "datacontenttype"])


def _header(attribute: str) -> dict[str, Any]:
    said = "Required in binary mode" if attribute in REQUIRED else "In binary mode"
    return {
        "name": f"ce-{attribute}",
        "in": "header",
        "description": f"{said}, and in no other; percent-encoded.",
        "schema": _attributes()[attribute],
    }


def _event(data: dict[str, Any]) -> dict[str, Any]:
    """An event in the JSON event format."""
    return {
        "type": "object",
        "properties": {
            **_attributes(),
            "data": data,
            "data_base64": {"type": "string", "contentEncoding": "base64"},
        },
        "required": list(REQUIRED),
        "additionalProperties": msgspec.json.schema(EXTENSION),
        "examples": [_EXAMPLE],
    }


def _attributes() -> dict[str, Any]:
    return {name: {**msgspec.json.schema(kind), "minLength": 1} for name, kind in KINDS.items()}
