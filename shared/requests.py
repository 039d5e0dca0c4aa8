"""Around every request: its id and trace in and out, what is left of the caller's rate, and its time by
route. Plain ASGI, because Starlette's function middleware costs half a millisecond per request."""

from __future__ import annotations

import re
import secrets
import time
from functools import lru_cache

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import observability as metrics
from shared.rate_limit import fields

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Requests:
    """`request.state.traceparent` (bytes) is what events that the request causes carry on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers, method = dict(scope["headers"]), scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # answered alike, but for the body (RFC 9110, 9.3.2)
        chance = secrets.token_hex(32)
        request_id = _accepted(headers.get(b"x-request-id"), _REQUEST_ID) or chance[:16]
        fresh = f"00-{chance[16:48]}-{chance[48:]}-01"
        trace = _accepted(headers.get(b"traceparent"), TRACEPARENT) or fresh
        state = scope.setdefault("state", {})
        state["traceparent"] = trace.encode()
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", request_id.encode()), (b"traceparent", trace.encode())]
                if rate := state.get("rate"):
                    own += fields(*rate)
                message["headers"] = [*message.get("headers", ()), *own]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        # a request is a task of its own, so nothing has to be unbound
        structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace[3:35])
        if metrics.traced():
            await self._traced(trace, scope, receive, answer)
        else:
            await self._app(scope, receive, answer)
        _seconds(method, _route(scope), status).observe(time.perf_counter() - began)

    async def _traced(self, trace: str, scope: Scope, receive: Receive, send: Send) -> None:
        context = metrics.continued(trace)
        with metrics.tracer.start_as_current_span(scope["method"], context, kind=SpanKind.SERVER) as span:
            scope["state"]["traceparent"] = metrics.carried(span)
            await self._app(scope, receive, send)
            span.update_name(f"{scope['method']} {_route(scope)}")


@lru_cache(maxsize=1024)
def _seconds(method: str, route: str, status: int) -> Histogram:
    """To look it up costs as much as to count."""
    return metrics.HTTP_SECONDS.labels(method, route, status)


def _route(scope: Scope) -> str:
    """The route's template, not the path: metrics and spans have few names."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _accepted(given: bytes | None, form: re.Pattern[str]) -> str:
    text = (given or b"").decode("latin-1")
    return text if form.fullmatch(text) else ""
