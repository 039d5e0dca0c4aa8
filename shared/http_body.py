"""Request bodies, read in pieces and within limits: media type, size, gzip, patience.

FastAPI's own reading takes 200 MB into memory before anybody asks how much it is.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from fastapi import Request

from shared.problem import Problem

_PIECE = 256 * 1024
_MAX_MEMBERS = 1000
MAX_RATIO = 200
"""gzip reaches 1,000 with nothing but zeros; logs and rows of numbers, 10 to 30."""
MODEST = 1024 * 1024
"""Bytes up to which nobody asks for the ratio."""
_GZIP = 16 + zlib.MAX_WBITS
_CLOSE = {"Connection": "close"}


@dataclass(frozen=True)
class BodyLimits:
    """`types`: media types taken; `bytes`: of the body, inflated; `seconds`: until it must have arrived."""

    types: Collection[str]
    bytes: int
    seconds: float


def media_type(request: Request, types: Collection[str]) -> str:
    """The body's media type. Raises Problem 415 unless it is among `types` and in UTF-8."""
    name, utf8 = read_content_type(request.headers.get("content-type", ""))
    if name not in types:
        raise Problem(415, f"Content-Type must be {' or '.join(types)}.")
    if not utf8:
        raise Problem(415, "The charset must be UTF-8.")
    return name


@lru_cache(maxsize=256)
def read_content_type(content_type: str) -> tuple[str, bool]:
    """The media type in lower case, and whether the charset is UTF-8 (which it is where none is named)."""
    name, *parameters = content_type.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    charsets = [value.strip().strip('"') for key, _, value in pairs if key.strip().lower() == "charset"]
    return name.strip().lower(), all(charset.lower() in ("utf-8", "utf8") for charset in charsets)


def _admit_all(held: int) -> None:
    """For bodies that are small enough that nobody counts them."""


async def read_body(request: Request, limits: BodyLimits, admit: Callable[[int], None] = _admit_all) -> bytes:
    """The whole body, inflated where it is gzip.

    `admit` is told each number of bytes that is about to be held, and raises when it is too much now.
    Raises Problem: 400 broken gzip, 408 too slow, 413 too large, 415 unknown Content-Encoding.
    """
    inflater = _inflater(request.headers.get("content-encoding"))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.bytes:
        raise _too_large(limits.bytes)
    pieces: list[bytes] = []
    arrived, held, more = 0, 0, True
    try:
        async with asyncio.timeout(limits.seconds):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "The connection was closed before the body was complete.")
                chunk, more = message.get("body", b""), message.get("more_body", False)
                arrived += len(chunk)
                for piece in inflater.inflate(chunk) if inflater else (chunk,):
                    held += len(piece)
                    if max(arrived, held) > limits.bytes:
                        raise _too_large(limits.bytes)
                    admit(len(piece))
                    pieces.append(piece)
    except TimeoutError:
        raise Problem(408, f"The body took more than {limits.seconds:g} s.", headers=_CLOSE) from None
    if inflater:
        inflater.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflater(encoding: str | None) -> _Inflater | None:
    """Raises Problem 415."""
    encoding = encoding.strip().lower() if encoding else "identity"
    if encoding not in ("identity", "gzip", ""):
        raise Problem(415, "Content-Encoding must be gzip or absent.", headers={"Accept-Encoding": "gzip"})
    return _Inflater() if encoding == "gzip" else None


def _too_large(limit: int) -> Problem:
    return Problem(413, f"The body is over the limit of {limit} bytes.", headers=_CLOSE, limit=limit)


class _Inflater:
    """gzip (RFC 1952) in pieces of at most _PIECE bytes; several members in a row are one body."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._members = 1
        self._given = self._said = 0

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """What can be said after `data`; a bomb is met by whoever stops asking for the next piece."""
        piece = b""
        self._given += len(data)
        while data or len(piece) == _PIECE:
            if self._member.eof and not data:
                return
            if self._member.eof:
                self._begin_next()
            try:
                piece = self._member.decompress(data, _PIECE)
            except zlib.error:
                raise Problem(400, "The body is not gzip.", headers=_CLOSE) from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                self._said += len(piece)
                self._refuse_a_bomb()
                yield piece

    def finish(self) -> None:
        """Raises Problem 400 when the last member is not whole."""
        if not self._member.eof:
            raise Problem(400, "The gzip body ends before it is complete.")

    def _refuse_a_bomb(self) -> None:
        if self._said > MODEST and self._said > MAX_RATIO * self._given:
            detail = f"The gzip body inflates to more than {MAX_RATIO} times its size."
            raise Problem(413, detail, headers=_CLOSE, limit=MAX_RATIO)

    def _begin_next(self) -> None:
        # each costs time however small it is
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise Problem(400, f"The gzip body has more than {_MAX_MEMBERS} members.", headers=_CLOSE)
        self._member = zlib.decompressobj(_GZIP)
