"""What uvicorn's HTTP protocol lacks: limits on the head of a request, in size and in time, heads that say
one thing only, the bodies of those who would rather speak HTTP/2, and a refusal that costs next to nothing.

Without limits a connection that sends a header of a gigabyte is read into memory, and one that sends nothing,
or a letter a minute, is kept for ever.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from shared.observability import HTTP_REFUSED
from shared.problem import MEDIA_TYPE, Fault, Problem

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_TARGET_BYTES = 16 * 1024
_ONCE = frozenset((b"host", b"content-type", b"content-encoding", b"authorization", b"x-api-key"))
"""Fields of which two would be understood in two ways, by a proxy and by us (RFC 9110, 5.3)."""
_HOP = frozenset((b"upgrade", b"http2-settings", b"connection"))
_CALLS = b"/v1/"
CONNECTION = "cqm.connection"
"""The extension of ASGI's scope by which an answer ends its connection (`abort`), whoever does not read it:
a mere close waits until everything was read."""
_SMALL_BODY = 64 * 1024
_MALFORMED = Problem(400, "The request is not HTTP/1.1, or says in two ways where its body ends.")


def _never(under_way: int) -> bool:
    return False


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `head_seconds`: time in which the head of a request must have arrived, from the opening
    of the connection or from its first byte. `is_full`: whether, with so many posts here and not answered,
    further ones to the API are refused before anything is made of them: who refuses as dearly as he serves
    does nothing else under overload. `idle`, of all connections: requests that cost nothing now, because the
    rest of their body is still to come, or because they only watch."""

    head_seconds = 10.0
    is_full: Callable[[int], bool] = staticmethod(_never)
    idle: ClassVar[set[RequestResponseCycle]] = set()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal = _MALFORMED
        self._upgrading = False
        self._shedding = False
        self._deadline: TimerHandle | None = None
        self._idle: set[RequestResponseCycle] = set()
        self._unread = 0
        """Bytes since the last complete head or piece of a body: of a head or of trailers, not complete."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        self.idle.difference_update(self._idle)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay_with_http_1(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        if self.transport.is_closing():
            return
        if self._unread > MAX_TARGET_BYTES + MAX_HEADER_BYTES:
            long_target = len(getattr(self, "url", b"")) > MAX_TARGET_BYTES
            self._refuse(_TARGET_TOO_LONG if long_target else _HEADERS_TOO_LARGE)
        elif self._is_idle() and self._deadline is None:
            self._expect_head()  # line breaks before a request end the patience of keep-alive as well

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: {"abort": self.transport.abort}}
        self._unset_keepalive_if_required()  # of a refusal that was answered within the same piece of data
        if self._deadline is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._forget_deadline()
        self._unread = 0
        self._upgrading = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._upgrading:
            return
        refusal = _too_large(self.url, self.headers) or _ambiguous(
            self.headers, self.parser.get_http_version()
        )
        if refusal is not None:
            self._refusal = refusal
            raise ValueError(refusal.detail)  # ends the parsing; `data_received` says why
        if self.is_full(len(self.tasks) - len(self.idle)) and self._is_call():
            self._shed()
        else:
            super().on_headers_complete()
            self._idle.add(self.cycle)
            self.idle.add(self.cycle)

    def _is_call(self) -> bool:
        """A post to the API that no other request of this connection stands before."""
        waits = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]
        return self.parser.get_method() == b"POST" and self.url.startswith(_CALLS) and not waits

    def _shed(self) -> None:
        """A small body is let come, unread, and the connection stays: a new one would cost more."""
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        small = length.isdigit() and int(length) <= _SMALL_BODY
        if not small or self.expect_100_continue or not self.parser.should_keep_alive():
            self._refusal = _FULL
            raise ValueError(_FULL.detail)
        self._shedding = True

    def _stay_with_http_1(self, rest: bytes) -> None:
        """Who asks for another protocol is answered in this one (RFC 9110, 7.8).

        Java's client asks for HTTP/2 with its first post. The parser takes such a request for one without a
        body, so another parser reads its head again, without what it asked for, and goes on.
        """
        head = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
        head += [b"%b: %b" % field for field in self.headers if field[0] not in _HOP]
        if not self.parser.should_keep_alive():
            head.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(head) + b"\r\n\r\n" + rest)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        if not self._shedding:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        if self._shedding:
            self._shedding = False
            self._forget_deadline()
            _SHED.inc()
            self.transport.write(_FULL_ANSWER)
            self.on_response_complete()
        elif not self._upgrading:
            super().on_message_complete()
            if self.parser.get_method() == b"POST":
                self._is_not_idle(self.cycle)

    def on_response_complete(self) -> None:
        for cycle in [one for one in self._idle if one.response_complete]:
            self._is_not_idle(cycle)
        super().on_response_complete()

    def _is_not_idle(self, cycle: RequestResponseCycle) -> None:
        self._idle.discard(cycle)
        self.idle.discard(cycle)

    def _refuse(self, problem: Problem) -> None:
        self._forget_deadline()
        HTTP_REFUSED.labels(_REASONS[problem.status]).inc()
        self.transport.write(_answer(problem, "connection: close\r\n"))
        self.transport.close()

    def _is_idle(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]
        return answered and self.timeout_keep_alive_task is None

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        HTTP_REFUSED.labels("slow_head").inc()
        self.transport.close()


def protocol(head_seconds: float, is_full: Callable[[int], bool] = _never) -> type[LimitedProtocol]:
    """The protocol for uvicorn's `http`, which takes a class and no arguments for it."""
    settings = {"head_seconds": head_seconds, "is_full": staticmethod(is_full), "idle": set()}
    return type("Protocol", (LimitedProtocol,), settings)


def _answer(problem: Problem, more: str = "") -> bytes:
    body = msgspec.json.encode(problem.document())
    fields = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return STATUS_LINE[problem.status] + f"{head}{more}\r\n".encode() + body


def _too_large(target: bytes, headers: list[tuple[bytes, bytes]]) -> Problem | None:
    if len(target) > MAX_TARGET_BYTES:
        return _TARGET_TOO_LONG
    if len(headers) > MAX_HEADERS:
        return _TOO_MANY_HEADERS
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return _HEADERS_TOO_LARGE
    return None


def _ambiguous(headers: list[tuple[bytes, bytes]], version: str) -> Problem | None:
    """A head that two readers would read in two ways, or that RFC 9112 (3.2, 6.1) has refused."""
    names = [name for name, _ in headers]
    given = set(names)
    if len(given) < len(names) and any(names.count(name) > 1 for name in _ONCE & given):
        return _TWICE
    if b"host" not in given and version == "1.1":
        return _NO_HOST
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"] or [b"chunked"]
    return None if codings == [b"chunked"] else _MALFORMED


_TWICE = Problem(
    400, f"{', '.join(sorted(name.decode() for name in _ONCE))}: each stands in one header field."
)
_NO_HOST = Problem(400, "The header field Host is missing.")
_TARGET_TOO_LONG = Problem(
    414,
    f"The path and query of a request have at most {MAX_TARGET_BYTES} bytes.",
    [Fault("", "the path and query are too long", MAX_TARGET_BYTES)],
)
_TOO_MANY_HEADERS = Problem(
    431,
    f"A request has at most {MAX_HEADERS} header fields.",
    [Fault("", "the request has too many header fields", MAX_HEADERS)],
)
_HEADERS_TOO_LARGE = Problem(
    431,
    f"The header fields of a request have at most {MAX_HEADER_BYTES} bytes.",
    [Fault("", "the header fields are too large", MAX_HEADER_BYTES)],
)
_FULL = Problem(
    503,
    "Too much is arriving at the same time; nothing of this request was taken.",
    headers={"Retry-After": "1"},
)
_FULL_ANSWER = _answer(_FULL)
_REASONS = {400: "malformed", 414: "target_too_long", 431: "headers_too_large", 503: "overload"}
_SHED = HTTP_REFUSED.labels("overload")
