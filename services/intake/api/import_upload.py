"""A file into an import: who may, by which mapping, and what of it is refused before it is a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.intake.api import import_openapi
from services.intake.api.door import Door, Visit
from services.intake.api.import_views import answer, shown
from services.intake.api.uploads import Upload
from services.intake.domain.imports import Full, Job, Layout, Mark, Options, WrongOption
from services.intake.imports import Reception
from services.intake.imports.reception import Arrived, content_of
from services.intake.imports.table import Unreadable
from services.intake.imports.worker import WAY
from shared.mapping import Mapping, MappingError, find_mapping, mapping_of
from shared.mongo import ending_after
from shared.problem import Fault, Problem

SCOPE = "imports"
OWN_MAPPING = "own"
ANSWER_SECONDS = 2.0
"""MongoDB has to answer small questions within this; then 503."""
RETRY_SECONDS = "60"
_UPLOAD_HELD = 4 * 1024 * 1024
"""Bytes of a file that are held while it arrives, at most: a chunk and what waits to be written."""

Text = Annotated[str, Query(max_length=64)]


def add_upload(router: APIRouter, counter: Counter) -> None:
    @router.post("", status_code=202, openapi_extra=import_openapi.upload())
    async def post_import(
        request: Request,
        mapping: Annotated[str | None, Query(max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")] = None,
        dry_run: bool = False,
        encoding: Text = "",
        delimiter: Text = "",
        quote: Text = "",
        name: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """Import a table (CSV or XLSX) by a mapping. 202 and `Location` once the file is kept; its rows go to
        Kafka in the background. The same file and mapping again, while unfinished, is the same import.

        With `dry_run` 200: the first rows as they would be taken, and nothing is kept.
        """
        with counter.door.visit(WAY, request) as visit:
            visit.sender(SCOPE)
            try:
                options = Options.checked(encoding, delimiter, quote)
            except WrongOption as wrong:
                fault = Fault(f"?{wrong.option}", str(wrong))
                raise Problem(422, "The request does not fit; see errors.", [fault]) from None
            return await counter.take(visit, request, mapping, name, options, dry_run)


class Counter:
    """Where files are handed in. `mappings`: folder of those by name; `limit`: bytes of a file."""

    def __init__(self, door: Door, imports: Reception, mappings: Path, limit: int) -> None:
        self.door = door
        self._imports = imports
        self._mappings = mappings
        self._limit = limit

    async def take(
        self, visit: Visit, request: Request, named: str | None, name: str, options: Options, dry_run: bool
    ) -> Response:
        if not dry_run:
            await self._room(request)
        content = await asyncio.to_thread(self._named, named) if named else None
        visit.reserve(_UPLOAD_HELD)
        upload = Upload(request, self.door.body_seconds, self._limit, name)
        async with self._imports.arriving(_counted(upload, visit), upload.name, options) as arrived:
            arrived.name = upload.name
            # YAML is read slowly: others are served meanwhile
            yaml, mapping = await asyncio.to_thread(_one_mapping, content, upload.mapping, named)
            layout, start = await self._layout(arrived, mapping, options)
            job = _job(request, arrived, named, yaml, mapping, options, layout, start)
            if dry_run:
                return answer(await self._preview(job, mapping))
            await self._room(request)
            job = await self._imports.queue(arrived, job)
        return answer(shown(job), 202, {"Location": f"/v1/imports/{job.id}"})

    async def _room(self, request: Request) -> None:
        """Raises Problem 429 or 503."""
        try:
            with ending_after(ANSWER_SECONDS):
                await self._imports.ask_for_room(request.state.principal.name)
        except Full as full:
            faults = [Fault("", "too many imports are unfinished", full.limit)]
            status = 429 if full.of_caller else 503
            raise Problem(status, f"{full}.", faults, headers={"Retry-After": RETRY_SECONDS}) from None

    def _named(self, name: str) -> bytes:
        try:
            return find_mapping(name, self._mappings)
        except MappingError as error:
            raise Problem(422, "The mapping is not known.", [Fault("?mapping", str(error))]) from None

    async def _layout(self, arrived: Arrived, mapping: Mapping, options: Options) -> tuple[Layout, Mark]:
        try:
            return await self._imports.layout(arrived, mapping, options)
        except (Unreadable, MappingError) as error:
            raise _unfit(error) from None

    async def _preview(self, job: Job, mapping: Mapping) -> dict[str, Any]:
        try:
            return await self._imports.dry_run(job, mapping)
        except Unreadable as error:
            raise _unfit(error) from None


def _unfit(error: Exception) -> Problem:
    return Problem(422, "The file cannot be imported.", [Fault("/file", str(error))])


async def _counted(upload: Upload, visit: Visit) -> AsyncIterator[bytes]:
    async for piece in upload.pieces():
        visit.came(len(piece))
        yield piece


def _one_mapping(named: bytes | None, own: bytes | None, name: str | None) -> tuple[str, Mapping]:
    """By name, or the sender's own. Raises Problem 422."""
    content = named if own is None else own
    place = "?mapping" if own is None else "/mapping"
    if content is None or (named is not None and own is not None):
        fault = Fault("?mapping", "is required: a name here, or a part `mapping` of the form; not both")
        raise Problem(422, "An import has one mapping.", [fault])
    try:
        mapping = mapping_of(content, f"{name or OWN_MAPPING}.yaml")
    except MappingError as error:
        faults = [Fault(place, line) for line in str(error).splitlines()]
        raise Problem(422, "The mapping does not fit; see errors.", faults) from None
    return content.decode("utf-8-sig"), mapping


def _job(
    request: Request, arrived: Arrived, named: str | None, yaml: str, mapping: Mapping, options: Options,
    layout: Layout, start: Mark,
) -> Job:  # fmt: skip
    """Raises Problem 422 when the mapping names a source that the caller may not."""
    principal = request.state.principal
    if principal.fixed_source and mapping.source != principal.source:
        fault = Fault("/mapping/source", "is fixed by the caller's key", principal.source)
        raise Problem(422, "The mapping names another source.", [fault])
    sha256 = arrived.sniffer.sha256
    return Job(
        id=arrived.id, state="queued", name=arrived.name[:200], by=principal.name, label=principal.label,
        source=principal.source, fixed_source=principal.fixed_source, mapping=named or OWN_MAPPING,
        mapping_yaml=yaml, options=options, layout=layout, size=arrived.size, sha256=sha256,
        content=content_of(sha256, yaml), traceparent=request.state.traceparent.decode(), mark=start,
    )  # fmt: skip
