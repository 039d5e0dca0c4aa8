"""What OpenAPI says about imports."""

from __future__ import annotations

from typing import Any

from services.intake.api.openapi import operation
from services.intake.api.uploads import MULTIPART, RAW_TYPES

_COUNT = {"type": "integer", "minimum": 0}
_MAYBE_TEXT = {"type": ["string", "null"]}
_MAYBE_TIME = {"type": ["string", "null"], "format": "date-time"}
_ROW = {"row": {"type": "integer", "minimum": 2, "description": "As a spreadsheet numbers it."}}
JOB: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "state": {"enum": ["queued", "running", "done", "cancelled", "failed"]},
        "name": {"type": "string"}, "by": {"type": "string"}, "mapping": {"type": "string"},
        "size": _COUNT, "sha256": {"type": "string"}, "content": {"type": "string"},
        "format": {"enum": ["csv", "xlsx"]}, "encoding": _MAYBE_TEXT, "delimiter": _MAYBE_TEXT,
        "rows": _COUNT, "accepted": _COUNT, "rejected": _COUNT,
        "percent": {"type": "number", "minimum": 0, "maximum": 100},
        "rate": {"type": "number", "description": "Rows per second of work."},
        "eta_seconds": {"type": ["integer", "null"]},
        "waiting": {**_MAYBE_TEXT, "description": "Why nothing moves just now."},
        "reason": {**_MAYBE_TEXT, "description": "Why it failed."},
        "created_at": _MAYBE_TIME, "started_at": _MAYBE_TIME, "finished_at": _MAYBE_TIME,
    },
    "required": ["id", "state", "rows", "accepted", "rejected", "percent"],
}  # fmt: skip
DRY_RUN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "format": {"enum": ["csv", "xlsx"]},
        "encoding": _MAYBE_TEXT, "delimiter": _MAYBE_TEXT, "quote": _MAYBE_TEXT,
        "columns": {"type": "array", "items": {"type": "string"}},
        "unmapped": {"type": "array", "items": {"type": "string"}},
        "looked_at": {**_COUNT, "description": "Rows, from the first on, that were looked at."},
        "rows": {
            "type": "array",
            "items": {"type": "object", "properties": {**_ROW, "feedback": {"type": "object"}}},
        },
        "rejects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {**_ROW, "column": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}  # fmt: skip


def upload() -> dict[str, Any]:
    """The operation that takes a file."""
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {
            "file": file,
            "mapping": {"type": "string", "description": "YAML of one's own mapping, instead of ?mapping=."},
        },
        "required": ["file"],
    }
    bodies = {MULTIPART: {"schema": form}} | {kind: {"schema": file} for kind in RAW_TYPES}
    answers = {200: ("A dry run: what it would become", DRY_RUN), 202: ("It is queued", JOB)}
    described = operation(bodies, answers, ())
    return {name: content for name, content in described.items() if name != "parameters"}
