"""A file on its way in: the raw body, or a part of a multipart form (RFC 7578), piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from shared.problem import Fault, Problem

MULTIPART = "multipart/form-data"
RAW_TYPES = (
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/octet-stream",
)
MAX_MAPPING_BYTES = 32 * 1024
"""Ten times the longest that is shipped; YAML is read with its lines, at some 30 KB a second."""
_FILE, _MAPPING = "file", "mapping"
_CLOSE = {"Connection": "close"}


@dataclass
class Upload:
    """`seconds`: how long the next piece may take; `limit`: bytes of the file."""

    request: Request
    seconds: float
    limit: int
    name: str = ""
    mapping: bytes | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file's bytes; when they are through, `name` and `mapping` are what came with them.

        Raises Problem: 400 not multipart, 408 too slow, 413 too large, 415 another type, 422 no file in it.
        """
        kind, parameters = parse_options_header(self.request.headers.get("content-type", ""))
        if self.request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise Problem(415, "An import must not have a Content-Encoding.")
        media_type = kind.decode("latin-1").lower()
        if media_type == MULTIPART:
            pieces = self._of_form(parameters.get(b"boundary", b""))
        elif media_type in RAW_TYPES:
            pieces = self._body()
        else:
            raise Problem(415, f"Content-Type must be {' or '.join((*RAW_TYPES, MULTIPART))}.")
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > self.limit:
                raise Problem(
                    413,
                    f"The file is over the limit of {self.limit} bytes.",
                    headers=_CLOSE,
                    limit=self.limit,
                )
            yield piece

    async def _body(self) -> AsyncIterator[bytes]:
        stream = aiter(self.request.stream())
        while True:
            try:
                async with asyncio.timeout(self.seconds):
                    piece = await anext(stream, None)
            except TimeoutError:
                why = f"Nothing of the body came for {self.seconds:g} s."
                raise Problem(408, why, headers=_CLOSE) from None
            except ClientDisconnect:
                raise Problem(400, "The connection was closed before the body was complete.") from None
            if piece is None:
                return
            yield piece

    async def _of_form(self, boundary: bytes) -> AsyncIterator[bytes]:
        form = _Form(boundary)
        async for piece in self._body():
            for data in form.feed(piece):
                yield data
        if not form.complete:
            raise Problem(400, "The multipart body ends before it is complete.")
        if _FILE not in form.seen:
            raise Problem(422, "The form has no file.", [Fault(f"/{_FILE}", "is required")])
        self.name = form.file_name or self.name
        if _MAPPING in form.seen:
            self.mapping = bytes(form.mapping)


@dataclass
class _Form:
    """The parts `file` and `mapping` of a form; pieces of the file are passed on as they come."""

    boundary: bytes
    file_name: str = ""
    mapping: bytearray = field(default_factory=bytearray)
    seen: set[str] = field(default_factory=set)
    complete: bool = False

    def __post_init__(self) -> None:
        self._part = ""
        self._header: tuple[bytes, bytes] = b"", b""
        self._disposition = b""
        self._out: list[bytes] = []
        if not self.boundary or len(self.boundary) > 70:
            raise Problem(400, "Content-Type must name a boundary of 1 to 70 characters.")
        self._parser = MultipartParser(
            self.boundary,
            {
                "on_part_begin": self._begin, "on_header_field": self._name, "on_header_value": self._value,
                "on_header_end": self._header_end, "on_headers_finished": self._headers_end,
                "on_part_data": self._data, "on_end": self._end,
            },
        )  # fmt: skip

    def feed(self, piece: bytes) -> list[bytes]:
        """What of `piece` belongs to the file. Raises Problem 400 and 422."""
        self._out = []
        try:
            self._parser.write(piece)
        except MultipartParseError:
            raise Problem(400, "The body is not multipart/form-data.", headers=_CLOSE) from None
        return self._out

    def _begin(self) -> None:
        self._part, self._header, self._disposition = "", (b"", b""), b""

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0] + data[start:end], b""

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0], self._header[1] + data[start:end]

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = b"", b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in (_FILE, _MAPPING):
            raise Problem(422, "The form has a part that is not known.", [Fault("", "parts: file, mapping")])
        if name in self.seen:
            raise Problem(422, "The form has a part twice.", [Fault(f"/{name}", "stands more than once")])
        self.seen.add(name)
        self._part = name
        if name == _FILE:
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == _FILE:
            self._out.append(data[start:end])
            return
        self.mapping += data[start:end]
        if len(self.mapping) > MAX_MAPPING_BYTES:
            fault = Fault(f"/{_MAPPING}", "is too large", MAX_MAPPING_BYTES)
            raise Problem(413, "The mapping is too large.", [fault], headers=_CLOSE)

    def _end(self) -> None:
        self.complete = True
