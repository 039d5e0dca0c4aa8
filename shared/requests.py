"""Around every request: its id and trace in and out, and its time by route. Plain ASGI, because Starlette's
function middleware costs half a millisecond per request."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import observability as metrics
from shared.problem import Fault, Problem

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
MAX_HEADERS = 100


class Requests:
    """`request.state.traceparent` (bytes) is what events that the request causes carry on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        request_id = _accepted(headers.get(b"x-request-id"), _REQUEST_ID) or secrets.token_hex(8)
        fresh = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        trace = _accepted(headers.get(b"traceparent"), _TRACEPARENT) or fresh
        scope.setdefault("state", {})["traceparent"] = trace.encode()
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", request_id.encode()), (b"traceparent", trace.encode())]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id, trace_id=trace[3:35]):
            if len(scope["headers"]) > MAX_HEADERS:
                await _too_many_headers(answer)
            else:
                with metrics.tracer.start_as_current_span(
                    scope["method"], metrics.continued(trace), kind=SpanKind.SERVER
                ) as span:
                    await self._app(scope, receive, answer)
                    span.update_name(f"{scope['method']} {_route(scope)}")
        metrics.HTTP_SECONDS.labels(scope["method"], _route(scope), status).observe(
            time.perf_counter() - began
        )


def _route(scope: Scope) -> str:
    """The route's template, not the path: metrics and spans have few names."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _accepted(given: bytes | None, form: re.Pattern[str]) -> str:
    text = (given or b"").decode("latin-1")
    return text if form.fullmatch(text) else ""


async def _too_many_headers(send: Send) -> None:
    fault = Fault("", "the request has too many header fields", MAX_HEADERS)
    response = Problem(431, f"A request has at most {MAX_HEADERS} header fields.", [fault]).response()
    start = {"type": "http.response.start", "status": 431, "headers": response.raw_headers}
    await send(start)
    await send({"type": "http.response.body", "body": response.body})
