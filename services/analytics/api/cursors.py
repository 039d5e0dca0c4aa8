"""Cursors of lists: where a page ended, and of which list it was, so that it is only good for that one."""

from __future__ import annotations

import base64
from typing import TypeVar
from zlib import crc32

import msgspec

from services.analytics.api.questions import refuse
from shared.cursors import content_of

T = TypeVar("T")
LONGEST = 2000
_marked = msgspec.json.Decoder(tuple[int, msgspec.Raw])


def cursor(of: object, place: object) -> str:
    """The cursor after `place` of the list that was asked for by `of`."""
    return base64.urlsafe_b64encode(msgspec.json.encode([_mark(of), place])).decode()


def place_of(given: str, of: object, kind: type[T]) -> T:
    """Where the page before ended. Raises Problem 422 for a cursor of another list, or of none."""
    try:
        mark, place = content_of(given, _marked)
        found = msgspec.json.decode(place, type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise refuse("cursor", "is not from this list") from None
    if mark != _mark(of):
        raise refuse("cursor", "is not from this list: ask with the parameters that it was given for")
    return found


def _mark(of: object) -> int:
    return crc32(repr(of).encode())
