"""The calls of intake. Bodies are read by msgspec, in pieces and within limits, and never by pydantic."""

import re
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response

from services.intake.api import metrics, openapi
from services.intake.api.admission import Budget
from services.intake.api.batch import JSON, NDJSON, Taking, split
from services.intake.api.outlet import Outlet
from services.intake.api.signals import ACTIVITY, FEEDBACK, Signal, prepare, problem_of
from services.intake.domain.inputs import Refused
from services.intake.domain.signals import Sender
from shared import ids
from shared.clock import Clock, rfc3339
from shared.http_body import BodyLimits, media_type, read_body
from shared.problem import Fault, Problem

MAX_BODY = 2 * 1024 * 1024
MAX_BATCH_BODY = 16 * 1024 * 1024
SOURCE = "api"
"""The source of a signal that names none, until callers have names of their own."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def routes(outlet: Outlet, budget: Budget, clock: Clock, body_seconds: float) -> APIRouter:
    """One route for one signal and one for a batch, for feedback and for activity."""
    router = APIRouter(tags=["intake"])
    for signal in (FEEDBACK, ACTIVITY):
        router.add_api_route(
            f"/v1/{signal.name}",
            _take_one(signal, outlet, budget, clock, BodyLimits((JSON,), MAX_BODY, body_seconds)),
            methods=["POST"],
            status_code=202,
            summary=f"Take in one {signal.name}",
            operation_id=f"post_{signal.name}",
            openapi_extra=openapi.one(signal),
        )
        router.add_api_route(
            f"/v1/{signal.name}/batch",
            _take_many(
                signal, outlet, budget, clock, BodyLimits((JSON, NDJSON), MAX_BATCH_BODY, body_seconds)
            ),
            methods=["POST"],
            status_code=202,
            summary=f"Take in many: a JSON array, or NDJSON; {signal.name}",
            operation_id=f"post_{signal.name}_batch",
            openapi_extra=openapi.many(signal),
        )
    return router


def _take_one(
    signal: Signal, outlet: Outlet, budget: Budget, clock: Clock, limits: BodyLimits
) -> Callable[[Request], Awaitable[Response]]:
    accepted = metrics.ACCEPTED.labels("single", signal.name)

    async def take_one(request: Request) -> Response:
        """202 once Kafka has it: `id`, `reference` (for people) and `received_at`."""
        with metrics.counting_refusals("single"), budget.lease() as admit:
            sender = _sender(request)
            media_type(request, limits.types)
            body = await read_body(request, limits, admit)
            now = clock.now()
            try:
                ready = prepare(signal, body, sender, now, request.state.traceparent)
            except Refused as refused:
                raise problem_of(signal, refused) from None
            await outlet.publish(ready.record)
        accepted.inc()
        receipt = {"id": ready.id, "reference": ids.reference(ready.id), "received_at": rfc3339(now)}
        return Response(msgspec.json.encode(receipt), 202, media_type=JSON)

    return take_one


def _take_many(
    signal: Signal, outlet: Outlet, budget: Budget, clock: Clock, limits: BodyLimits
) -> Callable[[Request, Literal["all", "rejected"]], Awaitable[Response]]:
    async def take_many(request: Request, items: Literal["all", "rejected"] = "all") -> Response:
        """202 when all were taken, else 207 with a problem for each that was not; `items` is in order."""
        with metrics.counting_refusals("batch"), budget.lease() as admit:
            sender = _sender(request)
            kind = media_type(request, limits.types)
            bodies = split(await read_body(request, limits, admit), kind)
            taking = Taking(signal, sender, clock.now(), request.state.traceparent, items == "all")
            await taking.take(bodies, outlet)
        status, answer = taking.answer()
        return Response(msgspec.json.encode(answer), status, media_type=JSON)

    return take_many


def _sender(request: Request) -> Sender:
    key = request.headers.get("idempotency-key")
    if key is None:
        return Sender(SOURCE)
    if not _KEY.fullmatch(key):
        fault = Fault("Idempotency-Key", "must be 1 to 255 visible ASCII characters", 255)
        raise Problem(422, "A header does not fit; see errors.", [fault])
    return Sender(SOURCE, (key,))
