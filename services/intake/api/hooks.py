"""Signed webhooks of foreign systems: verified, mapped by their adapter, and taken whole or not at all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
import structlog
from fastapi import APIRouter, HTTPException, Request, Response

from services.intake.adapters import Adapter, Entrance, Mapped
from services.intake.api import metrics, openapi
from services.intake.api.batch import MAX_BODY
from services.intake.api.door import Door
from services.intake.api.signals import ACTIVITY, FEEDBACK, Received, Receiver, faults_of
from services.intake.api.splitting import JSON
from services.intake.domain.inputs import Flaw, Refused
from services.intake.domain.payload import read_payload
from services.intake.domain.signals import Sender
from services.intake.domain.webhooks import Unsigned, verify
from shared.http_body import BodyLimits, media_type, read_body
from shared.problem import Problem

log = structlog.get_logger("cqm.intake")

WAY = "hooks"
_CONFLICT = "an earlier element has this identity and another content"
_SIGNALS = {signal.name: signal for signal in (FEEDBACK, ACTIVITY)}
# Elements of one payload that are mapped before other requests get their turn.
_TURN = 50
# Bytes of a payload that is read between two other requests; a longer one may have 300,000 values.
_SHORT = 65_536


def hook_routes(door: Door, entrances: Callable[[], Mapping[str, Entrance]]) -> APIRouter:
    """One route for all adapters; `entrances`: those in force at this moment."""
    limits = BodyLimits((JSON,), MAX_BODY, door.body_seconds)
    router = APIRouter(tags=["intake"])

    @router.post(
        "/v1/hooks/{adapter}",
        status_code=202,
        summary="Take in a signed webhook of a foreign system",
        operation_id="post_hook",
        openapi_extra=openapi.hook(),
    )
    async def post_hook(adapter: str, request: Request) -> Response:
        """Take in a signed webhook: 202 once Kafka has all its signals: `accepted` and their `ids`, in order.

        Elements that the adapter's `when` leaves out are not counted. One that does not fit refuses them all.
        """
        entrance = _open(entrances().get(adapter))
        with door.visit(WAY, request) as visit:
            visit.known_as(entrance.adapter.source)
            media_type(request, limits.types)
            body = await read_body(request, limits, visit.hold)
            now = door.clock.now()
            delivery = _verified(entrance, request, body, now)
            receiver = _receiver(entrance.adapter, door, now, request.state.traceparent)
            try:
                taken = await _signals(entrance.adapter, body, delivery, receiver)
            except Refused as refused:
                raise _problem(refused) from None
            if taken:
                await visit.publish(*{ready.id: ready.record for ready in taken}.values())
            visit.accepted(entrance.adapter.signal, len(taken))
        answer = {"accepted": len(taken), "ids": [ready.id for ready in taken]}
        return Response(msgspec.json.encode(answer), 202, media_type=JSON)

    return router


def _open(entrance: Entrance | None) -> Entrance:
    """An unknown adapter is answered like any unknown path."""
    if entrance is None:
        raise HTTPException(404)
    if not entrance.keys:
        metrics.REJECTED.labels(WAY, entrance.adapter.source, "no_secret").inc()
        log.warning("webhook_without_secret", adapter=entrance.name)
        wait = {"Retry-After": "60"}
        raise Problem(503, "This adapter is not set up yet: its secret is missing.", headers=wait)
    return entrance


def _verified(entrance: Entrance, request: Request, body: bytes, now: datetime) -> str:
    """The id that the signature covers. Raises Problem 401, one for all that is wrong; the log says what."""
    times = Counter(request.headers.keys())
    once = {name: value for name, value in request.headers.items() if times[name] == 1}
    try:
        return verify(entrance.adapter.scheme, entrance.keys, once, body, now)
    except Unsigned as why:
        log.warning("webhook_unsigned", adapter=entrance.name, why=str(why))
        challenge = {"WWW-Authenticate": "Webhook-Signature"}
        raise Problem(401, "The request is not signed as this adapter asks for.", headers=challenge) from None


def _receiver(adapter: Adapter, door: Door, now: datetime, trace: bytes) -> Receiver:
    return Receiver(_SIGNALS[adapter.signal], Sender(adapter.source), now, door.seals, trace)


async def _signals(adapter: Adapter, body: bytes, delivery: str, receiver: Receiver) -> list[Received]:
    """All signals of a payload. Raises Refused with what is wrong with any of them, told of the payload."""
    payload = read_payload(body) if len(body) <= _SHORT else await asyncio.to_thread(read_payload, body)
    taken: list[Received] = []
    flaws: list[Flaw] = []
    seen: dict[str, str] = {}
    for count, element in enumerate(adapter.elements(payload), start=1):
        try:
            mapped = adapter.mapped(payload, element, delivery)
            if mapped is not None:
                taken.append(_received(mapped, receiver))
                if seen.setdefault(taken[-1].id, taken[-1].fingerprint) != taken[-1].fingerprint:
                    flaws.append(Flaw(element.place, _CONFLICT))
        except Refused as refused:
            flaws += refused.flaws
        if count % _TURN == 0:
            await asyncio.sleep(0)
    if flaws:
        raise Refused(flaws)
    return taken


def _received(mapped: Mapped, receiver: Receiver) -> Received:
    try:
        return receiver.take(msgspec.json.encode(mapped.body))
    except Refused as refused:
        raise Refused([mapped.at_its_place(flaw) for flaw in refused.flaws]) from None


def _problem(refused: Refused) -> Problem:
    if refused.malformed:
        return Problem(400, "The body is not JSON; see errors.", faults_of(refused))
    return Problem(422, "The payload does not fit; see errors. Nothing of it was taken.", faults_of(refused))
