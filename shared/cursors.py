"""Cursors of lists as they come back: in anybody's hand, they may say anything (docs/api.md, lists)."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

T = TypeVar("T")


def content_of(cursor: str, decoder: msgspec.json.Decoder[T]) -> T:
    """What a cursor says: JSON in base64url. Raises ValueError for anything else."""
    try:
        return decoder.decode(base64.b64decode(cursor.encode("ascii"), b"-_", validate=True))
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise ValueError("not a cursor") from error


def in_utc(at: datetime) -> datetime:
    """A moment of a cursor. Raises ValueError without an offset, and where it lies beyond the year 9999 in
    UTC, which no database takes."""
    if at.tzinfo is None:
        raise ValueError("a moment without an offset")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment beyond the calendar") from error
