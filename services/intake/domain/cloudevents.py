"""CloudEvents 1.0.2 as they come over HTTP: headers and body to attributes and data, these to a signal.

The rules are those of the core specification (3: attributes and their types), the JSON event format, and the
HTTP protocol binding. A flaw of an event names its attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from services.intake.domain.diagnosis import parse, place
from services.intake.domain.header_value import header_value
from services.intake.domain.inputs import Flaw, Line, Moment, Refused
from services.intake.domain.wording import of_leaf

EventType = Literal["cqm.feedback.v1", "cqm.activity.v1"]
MAX_ATTRIBUTES, MAX_LENGTH = 50, 2048
PREFIX = b"ce-"

Text = Annotated[str, Meta(max_length=MAX_LENGTH)]
Integer = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
KINDS: dict[str, Any] = {
    "specversion": Literal["1.0"],
    "id": Line,
    "source": Line,
    "type": EventType,
    "time": Moment,
    "subject": Text,
    "dataschema": Text,
    "datacontenttype": Text,
}
EXTENSION: Any = Text | Integer | bool
REQUIRED = ("specversion", "id", "source", "type")

_NAME = re.compile("[a-z0-9]{1,64}")
# What no String may contain (core specification, 3.1); half a surrogate pair never gets this far.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))
    + "]"
)

_encode = msgspec.json.Encoder().encode
_members: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_text, _bytes = msgspec.json.Decoder(str), msgspec.json.Decoder(bytes)
_attributes: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind | None) for name, kind in KINDS.items()
}
_extension: msgspec.json.Decoder[Any] = msgspec.json.Decoder(EXTENSION | None)


class CloudEvent(NamedTuple):
    """An event whose attributes are right. `within`: where in the body its data stands."""

    type: EventType
    source: str
    id: str
    time: datetime | None
    datacontenttype: str
    traceparent: str
    data: bytes
    within: tuple[str, ...]


class Enclosed(NamedTuple):
    """The JSON of the signal in an event; `lent`: its fields that an attribute of the event stands in."""

    body: bytes
    lent: Mapping[str, str]


def binary(headers: Iterable[tuple[bytes, bytes]], content_type: str, body: bytes) -> CloudEvent:
    """Attributes from `headers` (names in lower case), the body as the data. Raises Refused."""
    given: dict[str, Raw] = {}
    flaws: list[Flaw] = []
    for header, value in headers:
        if not header.startswith(PREFIX):
            continue
        name = header[len(PREFIX) :].decode("latin-1")
        if name in given:
            flaws.append(Flaw(place((), name), "stands more than once"))
        elif name in ("datacontenttype", "data"):
            flaws.append(Flaw((name,), "is no header: Content-Type and the body say it"))
        try:
            given[name] = Raw(_encode(header_value(value)))
        except ValueError as error:
            flaws.append(Flaw(place((), name), str(error)))
    if flaws:
        raise Refused(flaws, malformed=True)
    return _event(given, body, (), datacontenttype=content_type)


def structured(raw: bytes) -> CloudEvent:
    """An event in the JSON event format, alone or as an item of a batch. Raises Refused."""
    given = {name: value for name, value in members(raw).items() if bytes(value) != b"null"}
    data, encoded = given.pop("data", None), given.pop("data_base64", None)
    if encoded is None:
        return _event(given, bytes(data or b""), ("data",))
    if data is not None:
        raise Refused([Flaw(("data_base64",), "stands beside data; an event has one of both")])
    try:
        return _event(given, _bytes.decode(encoded), ("data_base64",))
    except msgspec.ValidationError:
        raise Refused([Flaw(("data_base64",), "is not base64 (RFC 4648, 4)")]) from None


def enclosed(event: CloudEvent) -> Enclosed:
    """The event's data with its identity, and with its time where the data names none.

    Raises Refused when the data is no object, or names another identity than the event.
    """
    fields = members(event.data)
    lent, flaws = {}, []
    for field, attribute, own in (("source", "source", event.source), ("external_id", "id", event.id)):
        if field in fields and not _says(fields[field], ("", own)):
            flaws.append(Flaw((field,), f"is not the {attribute} of the event; leave it out"))
        fields[field], lent[field] = Raw(_encode(own)), attribute
    if flaws:
        raise Refused(flaws)
    if event.time and "occurred_at" not in fields:
        fields["occurred_at"], lent["occurred_at"] = Raw(_encode(event.time)), "time"
    return Enclosed(_encode(fields), lent)


def members(raw: bytes) -> dict[str, Raw]:
    """The members of a JSON object, unread. Raises Refused when it is none, or a name stands in it twice.

    msgspec takes the last of several without a word; what it left out is missed in the number of quotes.
    """
    try:
        raw.decode()
        found = _members.decode(raw)
        if _encode(found).count(b'"') == raw.count(b'"'):
            return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # the slow reading says where
    value = parse(raw)
    if not isinstance(value, dict):
        raise Refused([Flaw((), "must be an object")])
    repeated = [Flaw(place((), name), "stands more than once") for name in getattr(value, "repeated", ())]
    raise Refused(repeated or [Flaw((), "has what JSON cannot say: NaN, Infinity, half a surrogate pair")])


def _event(
    given: Mapping[str, Raw], data: bytes, within: tuple[str, ...], datacontenttype: str = "application/json"
) -> CloudEvent:
    said: dict[str, Any] = {}
    flaws = [Flaw((name,), "is required") for name in REQUIRED if name not in given]
    if within and not data:
        flaws.append(Flaw(within, "is required"))
    if len(given) > MAX_ATTRIBUTES:
        raise Refused([Flaw((), "the event has too many attributes", MAX_ATTRIBUTES)])
    for name, raw in given.items():
        if not _NAME.fullmatch(name):
            flaws.append(Flaw(place((), name), "is no attribute's name", _NAME.pattern))
        elif flaw := _read(name, raw, said):
            flaws.append(flaw)
    if flaws:
        raise Refused(flaws)
    return CloudEvent(
        type=said["type"],
        source=said["source"],
        id=said["id"],
        time=said.get("time"),
        datacontenttype=said.get("datacontenttype", datacontenttype),
        traceparent=str(said.get("traceparent", "")),
        data=data,
        within=within,
    )


def _read(name: str, raw: Raw, said: dict[str, Any]) -> Flaw | None:
    """One attribute into `said`; what is wrong with it."""
    known = name in KINDS
    if known and bytes(raw) == b'""':
        return Flaw((name,), "must not be empty")
    try:
        value = (_attributes[name] if known else _extension).decode(raw)
    except msgspec.ValidationError as error:
        return Flaw((name,), *of_leaf(str(error), KINDS.get(name, EXTENSION)))
    # what is printable has none of them, and telling that takes a fraction of the time
    if isinstance(value, str) and not value.isprintable() and _FORBIDDEN.search(value):
        return Flaw((name,), "must not contain control characters, nor what is no character")
    said[name] = value
    return None


def _says(raw: Raw, texts: tuple[str, ...]) -> bool:
    try:
        return _text.decode(raw) in texts
    except msgspec.ValidationError:
        return False
