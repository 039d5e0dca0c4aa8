"""An import as the API answers it, and places in the list of them."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Response

from services.intake.domain.imports import Job
from shared.clock import rfc3339
from shared.cursors import content_of, in_utc
from shared.problem import Fault, Problem


def shown(job: Job) -> dict[str, Any]:
    """`percent` is that of the file, `rate` rows per second of work, `eta_seconds` null while unknown."""
    eta = job.eta_seconds
    times = {
        name: at and rfc3339(at)
        for name in ("created_at", "started_at", "finished_at")
        for at in (getattr(job, name),)
    }
    return {
        "id": job.id, "state": job.state, "name": job.name, "by": job.by, "mapping": job.mapping,
        "size": job.size, "sha256": job.sha256, "content": job.content, "format": job.layout.format,
        "encoding": job.layout.encoding or None, "delimiter": job.layout.delimiter or None,
        "rows": job.rows, "accepted": job.accepted, "rejected": job.rejected,
        "percent": round(100 * job.share, 1), "rate": round(job.rate, 1),
        "eta_seconds": None if eta is None else round(eta),
        "waiting": job.waiting or None, "reason": job.reason or None, **times,
    }  # fmt: skip


def cursor_of(job: Job) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([job.created_at, job.id])).decode()


_cursor = msgspec.json.Decoder(tuple[datetime, UUID])


def after_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Raises Problem 422 for one that is not of this list."""
    try:
        at, identity = content_of(cursor, _cursor)
        return in_utc(at), identity
    except ValueError:
        fault = Fault("?cursor", "is not from this list")
        raise Problem(422, "The cursor is not one of this list.", [fault]) from None


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers=headers, media_type="application/json")
