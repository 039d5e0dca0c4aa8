"""BSON by hand, where thousands of small things are said: the driver makes a Binary of each UUID first, in
Python, which costs more than all the rest of them (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import get_args
from uuid import UUID

from bson.raw_bson import RawBSONDocument

from services.routing.domain.changes import Outcome, State

_LENGTH = Struct("<i").pack
_UUID = _LENGTH(16) + b"\x04"
"""What stands before the 16 bytes of a UUID: their number, and that they are one."""


def _text(name: str, value: bytes) -> bytes:
    return b"\x02" + name.encode() + b"\x00" + _LENGTH(len(value) + 1) + value + b"\x00"


def _document(elements: bytes) -> bytes:
    return _LENGTH(len(elements) + 5) + elements + b"\x00"


_ID = b"\x05_id\x00" + _UUID
_CASE = b"\x05case_id\x00" + _UUID
_STATES = {state: _text("state", state.encode()) for state in get_args(State)}


def outcome_document(outcome: Outcome) -> RawBSONDocument:
    """What `document_of` makes of an outcome."""
    case = _CASE + outcome.case_id.bytes if outcome.case_id else b""
    said = _STATES[outcome.state] + _text("fingerprint", outcome.fingerprint.encode())
    return RawBSONDocument(_document(_ID + outcome.id.bytes + said + case))


def with_ids(ids: Sequence[UUID]) -> RawBSONDocument:
    """The question for documents of these ids: `{"_id": {"$in": ids}}`."""
    listed = b"".join([b"\x05%d\x00%b%b" % (place, _UUID, one.bytes) for place, one in enumerate(ids)])
    return RawBSONDocument(_document(b"\x03_id\x00" + _document(b"\x04$in\x00" + _document(listed))))
