"""CloudEvents 1.0 on Kafka, binary content mode: the one place that writes and reads our records.

Attributes travel as `ce_*` headers, the event as JSON in the value, the trace as `traceparent`
(CloudEvents Kafka binding 1.0.2, 3.2; W3C Trace Context).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Struct

from shared.errors import LaterVersion, PermanentError
from shared.events import EVENTS, Event
from shared.topics import MAX_RECORD_BYTES, TOPIC_OF

Headers = Sequence[tuple[str, bytes]]

_CONTENT_TYPE = ("content-type", b"application/json")
_OURS = b"cqm."
_SPEC_VERSION = ("ce_specversion", b"1.0")
_encoder = msgspec.json.Encoder(uuid_format="canonical")
_decoders: dict[bytes, msgspec.json.Decoder[Event]] = {
    event.type.encode(): msgspec.json.Decoder(event) for event in EVENTS
}
_types: dict[type[Event], tuple[str, bytes]] = {event: ("ce_type", event.type.encode()) for event in EVENTS}
_topics = {event: topic.name for event, topic in TOPIC_OF.items()}


class Outgoing(Struct, frozen=True, gc=False):
    """A record on its way to Kafka; `key` chooses the partition (murmur2, as Java's client does).

    There are thousands: a struct is made in a sixth of the time of a named tuple.
    """

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of key, value and headers, with what the record format adds at most."""
        names = sum(len(name) + len(value) + 10 for name, value in self.headers)
        return len(self.key) + len(self.value) + names + 30

    def is_over(self, limit: int) -> bool:
        """Whether `size` is; keys and headers are far below half of any limit, so most need no sum."""
        return len(self.value) > limit // 2 and self.size > limit


class Envelope(NamedTuple):
    """What events that are said together share: their topic, and all headers but the id."""

    topic: str
    headers: tuple[tuple[str, bytes], ...]


@lru_cache(maxsize=32)
def envelope(event: type[Event], source: str, at: datetime, traceparent: bytes = b"") -> Envelope:
    """`source` is the service that says events of this type, `at` when they happened."""
    time = _encoder.encode(at.astimezone(UTC))[1:-1]
    said_by = ("ce_source", f"/cqm/{source}".encode())
    trace = [("traceparent", traceparent)] if traceparent else []
    headers = (_SPEC_VERSION, said_by, _types[event], ("ce_time", time), _CONTENT_TYPE, *trace)
    return Envelope(_topics[event], headers)


def encode(event: Event, *, key: bytes, source: str, at: datetime, traceparent: bytes = b"") -> Outgoing:
    """The event as a record of its topic. `source` is the service that says it, `at` when it happened.

    Raises PermanentError `too_large` over MAX_RECORD_BYTES.
    """
    identity = _encoder.encode(event.id)[1:-1]
    return record(envelope(type(event), source, at, traceparent), identity, _encoder.encode(event), key=key)


def record(around: Envelope, identity: bytes, value: bytes, *, key: bytes) -> Outgoing:
    """An event that is written already (`value`) as a record of its topic; `identity`: its id as text.

    Raises as `encode` does.
    """
    outgoing = Outgoing(around.topic, key, value, [("ce_id", identity), *around.headers])
    if outgoing.is_over(MAX_RECORD_BYTES):
        raise PermanentError("too_large", f"the event is over the limit of {MAX_RECORD_BYTES} bytes")
    return outgoing


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> tuple[Event, bytes]:
    """The event of a record and its traceparent (empty when absent).

    Raises PermanentError with reason `missing_attribute`, `duplicate_attribute`, `unknown_type`,
    `unsupported_specversion`, `no_value` or `invalid` (not JSON, or not the contract).
    """
    event_type, identity, spec, trace = _attributes(headers)
    if not event_type or not identity:
        missing = "ce_type" if not event_type else "ce_id"
        raise PermanentError("missing_attribute", f"header {missing} is missing or empty")
    if spec != b"1.0":
        raise PermanentError("unsupported_specversion", "header ce_specversion must be 1.0")
    decoder = _decoders.get(event_type)
    if decoder is None and event_type.startswith(_OURS):
        raise LaterVersion
    if decoder is None:
        raise PermanentError("unknown_type", "header ce_type names no event type of ours")
    if value is None:
        raise PermanentError("no_value", "the record has no value")
    return _decode_value(decoder, value), trace


def _attributes(headers: Iterable[tuple[str, bytes | None]]) -> tuple[bytes, bytes, bytes, bytes]:
    event_type = identity = spec = trace = b""
    for name, content in headers:
        if name == "ce_type":
            event_type = content or b""
        elif name == "ce_id":
            if identity:
                raise PermanentError("duplicate_attribute", "header ce_id stands more than once")
            identity = content or b""
        elif name == "traceparent":
            trace = content or b""
        elif name == "ce_specversion":
            spec = content or b""
    return event_type, identity, spec, trace


def _decode_value(decoder: msgspec.json.Decoder[Event], value: bytes) -> Event:
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PermanentError("invalid", _without_value(str(error))) from error


def _without_value(words: str) -> str:
    """msgspec names the path and what was expected there; only of an enum it repeats the value."""
    what, at, path = words.rpartition(" - at `")
    if not at:
        what, path = path, ""
    if what.startswith("Invalid enum value"):
        what = "Value is not one of those allowed"
    return f"{what}{at}{path}"[:300]
