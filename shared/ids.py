"""Ids that come from their cause, so that doing something again says the same thing again.

- A feedback's id is a UUIDv5 of (source, external_id): the same signal always has the same id.
- An event's id is a UUIDv5 of (cause, type, version).
- A stored document's id is a UUIDv8: 48 bits of the cause's time, then a hash of the cause. It is as
  deterministic, and about four times cheaper to insert than a random one, because a B-tree grows at
  its right edge only (docs/adr/0005-ids-from-causes.md).
"""

from __future__ import annotations

import hashlib
import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_NAMESPACE = UUID("6f0c1f0e-5a3d-5b8e-9d7a-3c1b5a2e7f10").bytes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALMOST_A_MILLISECOND = timedelta(microseconds=999)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)

_FREE = ~((0xF << 76) | (0b11 << 62))
"""All bits but those of version and variant (RFC 9562, 4)."""

_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}
"""The digit that holds the variant: its upper two bits are 10."""


def _versioned(raw: bytes, version: int) -> UUID:
    return UUID(int=int.from_bytes(raw[:16], "big") & _FREE | version << 76 | 0b10 << 62)


def name_id(*parts: str) -> UUID:
    """UUIDv5 (RFC 9562, 5.5) of the parts, joined by NUL, which no part may contain."""
    return _versioned(hashlib.sha1(_NAMESPACE + "\0".join(parts).encode()).digest(), 5)


def name_text(*parts: str) -> str:
    """`str(name_id(*parts))` in a fourth of the time: where thousands are written, nobody looks at one."""
    digits = hashlib.sha1(_NAMESPACE + "\0".join(parts).encode()).hexdigest()
    variant = _VARIANTS[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def signal_id(kind: str, source: str, external_id: str) -> UUID:
    """The id of a feedback (`kind` "feedback") or an activity ("activity") from its upstream identity."""
    return name_id(kind, source, external_id)


def event_id(cause: UUID, event_type: str, version: int) -> UUID:
    """The id of the event that `cause` makes: a repetition has the same id."""
    return name_id(cause.hex, event_type, str(version))


def document_id(at: datetime, cause: UUID) -> UUID:
    """UUIDv8 (RFC 9562, 5.8): milliseconds of `at` first, then a hash of `cause`; time-ordered."""
    return _versioned(_millis(at).to_bytes(6, "big") + hashlib.sha1(cause.bytes).digest()[:10], 8)


def first_document_id(at: datetime) -> UUID:
    """A bound for `document_id`: of what is at `at` or later it is over this, of what is earlier under it."""
    return UUID(int=_millis(at + _ALMOST_A_MILLISECOND) << 80)


def _millis(at: datetime) -> int:
    since = at - _EPOCH
    return max(0, since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000)


def fresh_id() -> UUID:
    """UUIDv7 for a signal that names no identity of its own: no promise of dedupe is made for it."""
    return _versioned((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10), 7)


def reference(identity: UUID | str) -> str:
    """What people read out on the phone: 60 bits of a hash of the id as `7KQ2-9FMD-4TXA` (Crockford base32).

    A hash, because a UUIDv7's first bits are a clock and would repeat among neighbours.
    """
    raw = bytes.fromhex(identity.replace("-", "")) if isinstance(identity, str) else identity.bytes
    number = int.from_bytes(hashlib.sha1(raw).digest()[:8], "big") >> 4
    letters = "".join([_PAIRS[(number >> shift) & 1023] for shift in range(50, -1, -10)])
    return f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"
