"""Imports over HTTP: a file in, its job's progress, its refused rows out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from services.intake.api.door import Door
from services.intake.api.import_upload import ANSWER_SECONDS, SCOPE, Counter, add_upload
from services.intake.api.import_views import after_cursor, answer, cursor_of, shown
from services.intake.domain.imports import Job
from services.intake.imports import Reception, rejects
from shared.auth import guarded
from shared.mongo import ending_after
from shared.problem import Problem

_LOOK_SECONDS = 0.5
_KEEPALIVE_LOOKS = 30


def import_routes(door: Door, imports: Reception, mappings: Path, limit: int) -> APIRouter:
    """`mappings`: folder of the mappings by name; `limit`: bytes of a file."""
    prefix = "/v1/imports"
    upload = APIRouter(prefix=prefix)
    add_upload(upload, Counter(door, imports, mappings, limit))
    known = APIRouter(prefix=prefix, route_class=guarded(door.access, SCOPE))
    _add_reading(known, imports)
    _add_ending(known, imports)
    _add_progress(known, imports)
    router = APIRouter(tags=["imports"])
    router.include_router(upload)
    router.include_router(known)
    return router


def _add_reading(router: APIRouter, imports: Reception) -> None:
    @router.get("")
    async def list_imports(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        sha256: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
    ) -> Response:
        """The latest first; `sha256` of a file finds those of its content."""
        before = after_cursor(cursor) if cursor else None
        with ending_after(ANSWER_SECONDS):
            found = await imports.jobs.newest(limit + 1, before, sha256)
        following = cursor_of(found[limit - 1]) if len(found) > limit else None
        return answer({"items": [shown(job) for job in found[:limit]], "next": following})

    @router.get("/{identity}")
    async def get_import(identity: UUID) -> Response:
        """How far it is."""
        return answer(shown(await _found(imports, identity)))


def _add_ending(router: APIRouter, imports: Reception) -> None:
    @router.delete("/{identity}")
    async def cancel_import(identity: UUID) -> Response:
        """Stop it. Rows that have been taken stay taken."""
        await _found(imports, identity)
        with ending_after(ANSWER_SECONDS):
            if await imports.jobs.cancel(identity):
                await imports.files.delete(identity)
        job = await _found(imports, identity)
        if job.state != "cancelled":
            raise Problem(409, "The import has ended; nothing is left to cancel.", state=job.state)
        return answer(shown(job))

    @router.get("/{identity}/rejects.csv", response_class=StreamingResponse)
    async def get_rejects(identity: UUID) -> Response:
        """The rows that were refused, with number and reason, to be mended and imported again."""
        job = await _found(imports, identity)
        headers = {"Content-Disposition": f'attachment; filename="{identity}.rejects.csv"'}
        return StreamingResponse(
            _rejects(imports, job), media_type="text/csv; charset=utf-8", headers=headers
        )


async def _rejects(imports: Reception, job: Job) -> AsyncIterator[str]:
    yield rejects.header(job.layout.header)
    async for some in imports.jobs.rejects(job.id):
        yield rejects.lines(some, len(job.layout.header))


def _add_progress(router: APIRouter, imports: Reception) -> None:
    # EventSourceResponse as response_class wants a generator, which answers 200 before it knows the job
    @router.get("/{identity}/events", response_class=StreamingResponse)
    async def get_events(identity: UUID) -> Response:
        """Server-sent events `progress` with the import as it is, as it moves; the last one is `end`."""
        job = await _found(imports, identity)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventSourceResponse(_progress(imports, job), headers=headers)


async def _progress(imports: Reception, job: Job) -> AsyncIterator[bytes]:
    """Looks at the job as often as a person can follow; any replica may be working on it."""
    said, quiet = b"", 0
    while True:
        data = msgspec.json.encode(shown(job))
        if data != said:
            event = "end" if job.is_finished else "progress"
            yield format_sse_event(data_str=data.decode(), event=event)
            said, quiet = data, 0
        if job.is_finished:
            return
        quiet += 1
        if quiet % _KEEPALIVE_LOOKS == 0:
            yield KEEPALIVE_COMMENT
        await asyncio.sleep(_LOOK_SECONDS)  # the pace of looking
        job = await _found(imports, job.id)


async def _found(imports: Reception, identity: UUID) -> Job:
    """Raises Problem 404, Unavailable."""
    with ending_after(ANSWER_SECONDS):
        job = await imports.jobs.find(identity)
    if job is None:
        raise Problem(404, "There is no import with this id.")
    return job
