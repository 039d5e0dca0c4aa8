"""CloudEvents in: one in binary or structured mode, many in batched mode, feedback and activities alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from fastapi import APIRouter, Request, Response

from services.intake.api import event_schemas
from services.intake.api.batch import MAX_BODY, MAX_ERRORS_OF_AN_ITEM, Taking
from services.intake.api.door import Door, Visit
from services.intake.api.event_schemas import BATCHED, STRUCTURED
from services.intake.api.routes import MAX_BATCH_BODY
from services.intake.api.signals import ACTIVITY, FEEDBACK, Heard, Receiver, Signal, faults_of, receipt
from services.intake.api.splitting import JSON, split
from services.intake.domain import cloudevents
from services.intake.domain.cloudevents import CloudEvent, Enclosed, EventType
from services.intake.domain.inputs import Flaw, Refused
from services.intake.domain.signals import Sender
from shared.http_body import BodyLimits, media_type, read_body, read_content_type
from shared.problem import MAX_ERRORS, Fault, Problem, pointer
from shared.requests import TRACEPARENT
from shared.sealing import Seals

Place = Callable[..., str]
"""The pointer of a path."""

SIGNALS: dict[EventType, Signal] = {"cqm.feedback.v1": FEEDBACK, "cqm.activity.v1": ACTIVITY}
_FORMAT_OF_CLOUDEVENTS = "application/cloudevents"


def event_routes(door: Door) -> APIRouter:
    """One route for all three modes; the Content-Type tells which."""
    router = APIRouter(tags=["intake"])
    router.add_api_route(
        "/v1/events",
        _take(door),
        methods=["POST"],
        status_code=202,
        summary="Take in CloudEvents 1.0: binary, structured or batched",
        operation_id="post_events",
        openapi_extra=event_schemas.events([FEEDBACK, ACTIVITY]),
    )
    return router


def _take(door: Door) -> Callable[[Request, Literal["all", "rejected"]], Awaitable[Response]]:
    one = BodyLimits((), MAX_BODY, door.body_seconds)
    many = BodyLimits((), MAX_BATCH_BODY, door.body_seconds)

    async def take_events(request: Request, items: Literal["all", "rejected"] = "all") -> Response:
        """As for one feedback, or for a batch of them: 202 or 207, in the order of the events."""
        with door.visit("events", request) as visit:
            senders = Senders(visit, request)
            form = _form(request)
            body = await read_body(request, many if form == BATCHED else one, visit.hold)
            reader = Reader(senders, door.clock.now(), door.seals, request.state.traceparent)
            if form == BATCHED:
                bodies = split(body, JSON)
                visit.charge(len(bodies))
                taking = Taking(reader.item, door.seals, items == "all", visit)
                await taking.take(bodies)
                return taking.answer()
            heard = reader.structured(body) if form == STRUCTURED else reader.binary(request, body)
            received = heard.receive()
            await visit.publish(received.record)
            visit.accepted(received.kind)
        return receipt(received.id, reader.now)

    return take_events


def _form(request: Request) -> str:
    """STRUCTURED, BATCHED, or "" for binary. Raises Problem 415, or 400 for attributes in two places."""
    if not request.headers.get("content-type", "").strip().lower().startswith(_FORMAT_OF_CLOUDEVENTS):
        if not _is_json(request.headers.get("content-type", "")):
            raise Problem(415, f"Content-Type must be {JSON}, {STRUCTURED} or {BATCHED}, in UTF-8.")
        return ""
    form = media_type(request, (STRUCTURED, BATCHED))
    doubled = [name for name in request.headers if name.startswith(cloudevents.PREFIX.decode())]
    if doubled:
        faults = [Fault(name, "stands in the body in this mode") for name in dict.fromkeys(doubled)]
        raise Problem(400, "The attributes of the event stand in two places.", faults[:MAX_ERRORS])
    return form


def _is_json(content_type: str) -> bool:
    """application/json, text/json or anything that ends in +json (JSON event format, 3.1), in UTF-8."""
    name, utf8 = read_content_type(content_type)
    kind, _, subtype = name.partition("/")
    return utf8 and bool(kind) and (subtype == "json" or subtype.endswith("+json"))


class Senders:
    """Who sends, for each type of signal: a caller may be let in with one and not with the other."""

    def __init__(self, visit: Visit, request: Request) -> None:
        """Raises Problem when the caller may send neither: before the body is read."""
        self._visit, self._request = visit, request
        try:
            self._sender = self._ask(FEEDBACK)
        except Problem as problem:
            if problem.status != 403:
                raise
            self._sender = self._ask(ACTIVITY)

    def of(self, signal: Signal) -> Sender:
        """Raises Problem 403 when the caller may not send this type."""
        allowed = self._request.state.principal.scopes
        # who lacks the scope is refused before it costs one of the caller's tokens
        return self._sender if allowed is None or _scope(signal) in allowed else self._ask(signal)

    def _ask(self, signal: Signal) -> Sender:
        return self._visit.sender(_scope(signal))


def _scope(signal: Signal) -> str:
    return f"{signal.name}:write"


@dataclass(frozen=True)
class Reader:
    """Events of one request, read: what may be published. All raise Problem with what is wrong."""

    senders: Senders
    now: datetime
    seals: Seals
    traceparent: bytes

    def binary(self, request: Request, body: bytes) -> Heard:
        content_type = request.headers["content-type"]
        return self._read(lambda: cloudevents.binary(request.headers.raw, content_type, body), _header)

    def structured(self, body: bytes) -> Heard:
        return self._read(lambda: cloudevents.structured(body), pointer)

    def item(self, index: int, body: bytes) -> Heard:
        return self._read(lambda: cloudevents.structured(body), pointer, MAX_ERRORS_OF_AN_ITEM)

    def _read(self, event_of: Callable[[], CloudEvent], at: Place, at_most: int = MAX_ERRORS) -> Heard:
        """`at`: where an attribute stands."""
        with _told(at, at_most):
            event = event_of()
            if not _is_json(event.datacontenttype):
                raise Refused([Flaw(("datacontenttype",), "must be JSON in UTF-8", JSON)])
        signal = SIGNALS[event.type]
        sender = self.senders.of(signal)
        data = partial(pointer, *event.within)
        with _told(data, at_most):
            enclosed = self._enclosed(event, signal)

        def place(*path: str) -> str:
            lent = enclosed.lent.get(path[0]) if path else None
            return at(lent) if lent else data(*path)

        with _told(place, at_most):
            return Receiver(signal, sender, self.now, self.seals, self._trace(event)).hear(enclosed.body)

    def _enclosed(self, event: CloudEvent, signal: Signal) -> Enclosed:
        try:
            return cloudevents.enclosed(event)
        except Refused:
            signal.form.read(event.data, self.now)  # knows better what is wrong, where more is
            raise

    def _trace(self, event: CloudEvent) -> bytes:
        """The trace that the event began in, else that of the request (distributed tracing extension)."""
        return event.traceparent.encode() if TRACEPARENT.fullmatch(event.traceparent) else self.traceparent


@contextmanager
def _told(at: Place, at_most: int) -> Iterator[None]:
    """What is refused inside becomes a Problem: 400 what cannot be read, 422 what does not fit."""
    try:
        yield
    except Refused as refused:
        faults = faults_of(refused, at_most, at)
        if refused.malformed:
            raise Problem(400, "The event cannot be read; see errors.", faults) from None
        raise Problem(422, "The event does not fit; see errors.", faults) from None


def _header(*path: str) -> str:
    """The header of an attribute; none where its name cannot be repeated."""
    return f"ce-{path[0]}" if path else ""
