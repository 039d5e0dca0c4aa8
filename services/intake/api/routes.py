"""The calls of intake. Bodies are read by msgspec, in pieces and within limits, and never by pydantic."""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response

from services.intake.api import metrics, openapi
from services.intake.api.batch import JSON, NDJSON, Taking, split
from services.intake.api.door import Door
from services.intake.api.signals import ACTIVITY, FEEDBACK, Signal, prepare, problem_of
from services.intake.domain.inputs import Refused
from shared import ids
from shared.clock import rfc3339
from shared.http_body import BodyLimits, media_type, read_body

MAX_BODY = 2 * 1024 * 1024
MAX_BATCH_BODY = 16 * 1024 * 1024


def routes(door: Door) -> APIRouter:
    """One route for one signal and one for a batch, for feedback and for activity."""
    router = APIRouter(tags=["intake"])
    for signal in (FEEDBACK, ACTIVITY):
        router.add_api_route(
            f"/v1/{signal.name}",
            _take_one(signal, door),
            methods=["POST"],
            status_code=202,
            summary=f"Take in one {signal.name}",
            operation_id=f"post_{signal.name}",
            openapi_extra=openapi.one(signal),
        )
        router.add_api_route(
            f"/v1/{signal.name}/batch",
            _take_many(signal, door),
            methods=["POST"],
            status_code=202,
            summary=f"Take in many: a JSON array, or NDJSON; {signal.name}",
            operation_id=f"post_{signal.name}_batch",
            openapi_extra=openapi.many(signal),
        )
    return router


def _take_one(signal: Signal, door: Door) -> Callable[[Request], Awaitable[Response]]:
    limits = BodyLimits((JSON,), MAX_BODY, door.body_seconds)
    accepted = metrics.ACCEPTED.labels("single", signal.name)

    async def take_one(request: Request) -> Response:
        """202 once Kafka has it: `id`, `reference` (for people) and `received_at`."""
        with metrics.counting_refusals("single"), door.budget.lease() as admit:
            sender = door.sender(request, f"{signal.name}:write")
            media_type(request, limits.types)
            body = await read_body(request, limits, admit)
            now = door.clock.now()
            try:
                ready = prepare(signal, body, sender, now, request.state.traceparent)
            except Refused as refused:
                raise problem_of(signal, refused) from None
            await door.outlet.publish(ready.record)
        accepted.inc()
        receipt = {"id": ready.id, "reference": ids.reference(ready.id), "received_at": rfc3339(now)}
        return Response(msgspec.json.encode(receipt), 202, media_type=JSON)

    return take_one


def _take_many(
    signal: Signal, door: Door
) -> Callable[[Request, Literal["all", "rejected"]], Awaitable[Response]]:
    limits = BodyLimits((JSON, NDJSON), MAX_BATCH_BODY, door.body_seconds)

    async def take_many(request: Request, items: Literal["all", "rejected"] = "all") -> Response:
        """202 when all were taken, else 207 with a problem for each that was not; `items` is in order."""
        with metrics.counting_refusals("batch"), door.budget.lease() as admit:
            sender = door.sender(request, f"{signal.name}:write")
            kind = media_type(request, limits.types)
            bodies = split(await read_body(request, limits, admit), kind)
            taking = Taking(signal, sender, door.clock.now(), request.state.traceparent, items == "all")
            await taking.take(bodies, door.outlet)
        status, answer = taking.answer()
        return Response(msgspec.json.encode(answer), status, media_type=JSON)

    return take_many
