"""What OpenAPI says of bodies and answers, made from the structs that read them."""

from __future__ import annotations

from typing import Any

import msgspec

from services.intake.api.batch import JSON, MAX_ITEMS, NDJSON
from services.intake.api.signals import Signal
from shared.problem import MEDIA_TYPE

_EXAMPLES: dict[str, dict[str, Any]] = {
    "feedback": {
        "source": "shop-cn",
        "external_id": "R-20260302-17",
        "kind": "complaint",
        "channel": "web",
        "occurred_at": "2026-03-02T09:00:00+08:00",
        "text": "The box arrived broken.",
        "customer": {"id": "C-9", "tier": "gold", "region": "Shanghai"},
        "rating": {"metric": "nps", "score": 3, "scale_min": 0, "scale_max": 10},
    },
    "activity": {
        "source": "shop-cn",
        "external_id": "O-1",
        "kind": "order",
        "occurred_at": "2026-03-02T09:00:00+08:00",
        "customer": {"id": "C-9"},
        "quantity": 2,
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `errors` names fields (RFC 6901) and limits, never values.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string"},
                    "message": {"type": "string"},
                    "limit": {"type": ["number", "string"]},
                },
                "required": ["pointer", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}
_RECEIPT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "reference": {"type": "string", "examples": ["7KQ2-9FMD-4TXA"]},
        "received_at": {"type": "string", "format": "date-time"},
    },
    "required": ["id", "reference", "received_at"],
}
_REPORT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "id": {"type": "string", "format": "uuid"},
                    "problem": _PROBLEM,
                },
                "required": ["index"],
            },
        },
    },
    "required": ["accepted", "rejected", "items"],
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The identity where `external_id` is not given: 1 to 255 visible ASCII characters.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_REFUSALS = {
    400: "Not JSON, or broken gzip",
    408: "The body came too slowly",
    413: "Over a limit of size",
    415: "Another Content-Type or Content-Encoding than those named here",
    422: "Fields that do not fit",
    503: "Too much at once, or Kafka did not acknowledge in time: send it again after Retry-After seconds",
}


def one(signal: Signal) -> dict[str, Any]:
    """The operation that takes one signal."""
    schema = {**_inlined(signal), "examples": [_EXAMPLES[signal.name]]}
    return _operation({JSON: {"schema": schema}}, {202: ("Kafka has it", _RECEIPT)})


def many(signal: Signal) -> dict[str, Any]:
    """The operation that takes a batch."""
    item = _inlined(signal)
    array = {"type": "array", "maxItems": MAX_ITEMS, "items": item}
    lines = {"description": f"One item a line, at most {MAX_ITEMS}.", **item}
    answers = {202: ("All were taken", _REPORT), 207: ("Not all were taken", _REPORT)}
    return _operation({JSON: {"schema": array}, NDJSON: {"schema": lines}}, answers)


def _operation(bodies: dict[str, Any], answers: dict[int, tuple[str, Any]]) -> dict[str, Any]:
    responses = {
        str(status): {"description": said, "content": {JSON: {"schema": schema}}}
        for status, (said, schema) in answers.items()
    }
    responses |= {
        str(status): {"description": said, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
        for status, said in _REFUSALS.items()
    }
    return {
        "requestBody": {"required": True, "content": bodies},
        "parameters": [_KEY],
        "responses": responses,
    }


def _inlined(signal: Signal) -> dict[str, Any]:
    """The JSON Schema of the input with its parts in place, since an operation has no `$defs` of its own."""
    (root,), parts = msgspec.json.schema_components([signal.form.type], ref_template="{name}")

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            whole = {**node, **parts[node["$ref"]]} if "$ref" in node else node
            return {name: resolve(content) for name, content in whole.items() if name != "$ref"}
        return [resolve(content) for content in node] if isinstance(node, list) else node

    schema: dict[str, Any] = resolve(root)
    return schema
