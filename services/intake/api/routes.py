"""The calls of intake. Bodies are read by msgspec, in pieces and within limits, and never by pydantic."""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Request, Response

from services.intake.api import openapi
from services.intake.api.batch import MAX_BODY, Taking, reading
from services.intake.api.door import Door
from services.intake.api.signals import ACTIVITY, FEEDBACK, Receiver, Signal, problem_of, receipt
from services.intake.api.splitting import JSON, NDJSON, split
from services.intake.domain.inputs import Refused
from shared.direct import Direct
from shared.http_body import BodyLimits, media_type, read_body

MAX_BATCH_BODY = 16 * 1024 * 1024


def routes(door: Door) -> APIRouter:
    """One route for one signal and one for a batch, for feedback and for activity."""
    router = APIRouter(tags=["intake"])
    for signal in (FEEDBACK, ACTIVITY):
        router.add_api_route(
            f"/v1/{signal.name}",
            _take_one(signal, door),
            methods=["POST"],
            route_class_override=Direct,
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
    limits, scope = BodyLimits((JSON,), MAX_BODY, door.body_seconds), f"{signal.name}:write"

    async def take_one(request: Request) -> Response:
        """202 once Kafka has it: `id`, `reference` (for people) and `received_at`."""
        with door.visit("single", request) as visit:
            sender = visit.sender(scope)
            media_type(request, limits.types)
            body = await read_body(request, limits, visit.hold)
            now = door.clock.now()
            try:
                received = Receiver(signal, sender, now, door.seals, request.state.traceparent).take(body)
            except Refused as refused:
                raise problem_of(signal, refused) from None
            await visit.publish(received.record)
            visit.accepted(signal.name)
        return receipt(received.id, now)

    return take_one


def _take_many(
    signal: Signal, door: Door
) -> Callable[[Request, Literal["all", "rejected"]], Awaitable[Response]]:
    limits, scope = BodyLimits((JSON, NDJSON), MAX_BATCH_BODY, door.body_seconds), f"{signal.name}:write"

    async def take_many(request: Request, items: Literal["all", "rejected"] = "all") -> Response:
        """202 when all were taken, else 207 with a problem for each that was not; `items` is in order."""
        with door.visit("batch", request) as visit:
            sender = visit.sender(scope)
            kind = media_type(request, limits.types)
            bodies = split(await read_body(request, limits, visit.hold), kind)
            visit.charge(len(bodies))
            read = reading(signal, sender, door.clock.now(), door.seals, request.state.traceparent)
            taking = Taking(read, door.seals, items == "all", visit)
            await taking.take(bodies)
        return taking.answer()

    return take_many
