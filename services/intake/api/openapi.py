"""What OpenAPI says of bodies and answers, made from the structs that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.intake.api.signals import Signal
from services.intake.api.splitting import JSON, MAX_ITEMS, NDJSON
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
RECEIPT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "reference": {"type": "string", "examples": ["7KQ2-9FMD-4TXA"]},
        "received_at": {"type": "string", "format": "date-time"},
    },
    "required": ["id", "reference", "received_at"],
}
REPORT: dict[str, Any] = {
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
_TAKEN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
    },
    "required": ["accepted", "ids"],
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The identity where `external_id` is not given: 1 to 255 visible ASCII characters.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_REFUSALS = {
    400: "Not JSON, or broken gzip",
    401: "Who calls is not known",
    403: "The caller lacks the scope",
    408: "The body came too slowly",
    413: "Over a limit of size",
    415: "Another Content-Type or Content-Encoding than those named here",
    422: "Fields that do not fit",
    429: "The caller comes too often: send it again after Retry-After seconds",
    503: "Too much at once, or Kafka did not acknowledge in time: send it again after Retry-After seconds",
}


def one(signal: Signal) -> dict[str, Any]:
    """The operation that takes one signal."""
    schema = {**inlined(signal), "examples": [_EXAMPLES[signal.name]]}
    return operation({JSON: {"schema": schema}}, {202: ("Kafka has it", RECEIPT)})


def many(signal: Signal) -> dict[str, Any]:
    """The operation that takes a batch."""
    item = inlined(signal)
    array = {"type": "array", "maxItems": MAX_ITEMS, "items": item}
    lines = {"description": f"One item a line, at most {MAX_ITEMS}.", **item}
    answers = {202: ("All were taken", REPORT), 207: ("Not all were taken", REPORT)}
    return operation({JSON: {"schema": array}, NDJSON: {"schema": lines}}, answers)


def hook() -> dict[str, Any]:
    """The operation that takes a payload of a foreign system."""
    payload = {"type": ["object", "array"], "description": "As the sender of the adapter makes it."}
    described = operation({JSON: {"schema": payload}}, {202: ("Kafka has all its signals", _TAKEN)})
    refusals = {"401": "Not signed as the adapter asks for", "404": "There is no such adapter"}
    for status, said in refusals.items():
        content = {MEDIA_TYPE: {"schema": _PROBLEM}}
        described["responses"][status] = {"description": said, "content": content}
    return described | {"parameters": []}


def operation(
    bodies: dict[str, Any],
    answers: dict[int, tuple[str, Any]],
    parameters: Sequence[dict[str, Any]] = (_KEY,),
) -> dict[str, Any]:
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
        "parameters": list(parameters),
        "responses": responses,
    }


def inlined(signal: Signal) -> dict[str, Any]:
    """The JSON Schema of the input with its parts in place, since an operation has no `$defs` of its own."""
    (root,), parts = msgspec.json.schema_components([signal.form.type], ref_template="{name}")

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            whole = {**node, **parts[node["$ref"]]} if "$ref" in node else node
            return {name: resolve(content) for name, content in whole.items() if name != "$ref"}
        return [resolve(content) for content in node] if isinstance(node, list) else node

    schema: dict[str, Any] = resolve(root)
    return schema
