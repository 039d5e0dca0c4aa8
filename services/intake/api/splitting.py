"""A body of many signals into its items, unread: each is read by itself, and none spoils its neighbours."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from shared.problem import Fault, Problem

MAX_ITEMS = 10_000
JSON, NDJSON = "application/json", "application/x-ndjson"

# An array of at most MAX_ITEMS pieces that are left unread. A plain list would have to be built whole before
# it can be counted, half a gigabyte of it for a body of commas.
_Array = msgspec.defstruct(
    "_Array",
    [(f"item_{index}", msgspec.Raw, msgspec.Raw()) for index in range(MAX_ITEMS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_array: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Array)

MAX_COMMAS, MAX_BRACKETS = 1_000_000, 200_000
"""Of a body that is only nearly JSON, of which the values of an item are held until it ends. Ten thousand
signals of as many members as one may have come to three quarters of the commas."""

_BLANKS = re.compile(r"[ \t\r\n]*")
# It looks where a value ends. An object is its number of members, but lists are built: all that is read of an
# item is held until the item ends, and then let go of.
_lenient = json.JSONDecoder(object_pairs_hook=len, parse_int=str, parse_float=str, parse_constant=str)


def split(body: bytes, media_type: str) -> list[bytes]:
    """The items of a batch as they stand, unread. Raises Problem 400 (no array), 413 (too many items)."""
    items = _lines(body) if media_type == NDJSON else _elements(body)
    if len(items) > MAX_ITEMS:
        raise _too_many()
    return items


def _lines(body: bytes) -> list[bytes]:
    """Blank lines are skipped, and no more of them are looked at than could stand between the items."""
    lines = body.split(b"\n", 2 * MAX_ITEMS + 1)
    if len(lines) > 2 * MAX_ITEMS + 1:
        raise _too_many()
    return [line for line in lines if line and not line.isspace()]


def _elements(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in msgspec.structs.astuple(_array.decode(body)) if raw]
    except msgspec.ValidationError as error:
        if "at most length" in str(error):
            raise _too_many() from None
        raise Problem(400, "The body must be a JSON array.", [Fault("", "must be an array")]) from None
    except msgspec.DecodeError:
        return _elements_of_nearly_json(body)
    except RecursionError:
        raise _not_json() from None


def _elements_of_nearly_json(body: bytes) -> list[bytes]:
    """Of an array in which an item has NaN or half of a surrogate pair: that item is refused by itself.

    Bytes that are not UTF-8 go through as they are. Raises Problem 400 where it is no JSON otherwise, or so
    much of it that to look where its items end would hold up all others.
    """
    if body.count(b",") > MAX_COMMAS or body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise _not_json()
    text = body.decode(errors="surrogateescape")
    items: list[bytes] = []
    try:
        at = _after(text, 0, "[")
        while text[at] != "]":
            _, end = _lenient.raw_decode(text, at)
            items.append(text[at:end].encode(errors="surrogateescape"))
            if len(items) > MAX_ITEMS:
                raise _too_many()
            at = _skip(text, end)
            if text[at] != "]":
                at = _after(text, at, ",")
                if text[at] == "]":
                    raise _not_json()
        if _skip(text, at + 1) != len(text):
            raise _not_json()
    except (ValueError, IndexError, RecursionError):
        raise _not_json() from None
    return items


def _after(text: str, at: int, mark: str) -> int:
    """Where the next thing begins, behind `mark`. Raises ValueError when something else stands there."""
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise ValueError(f"no {mark}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _too_many() -> Problem:
    return Problem(413, "The batch has too many items.", [Fault("", "has too many items", MAX_ITEMS)])


def _not_json() -> Problem:
    return Problem(400, "The body is not JSON.", [Fault("", "is not JSON")])
