"""Cases, outcomes and history entries as documents, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from bson import Binary
from bson.binary import UUID_SUBTYPE
from msgspec import Struct

from services.routing.domain.case_file import Books, CaseFile, Entry
from shared.events import Case, Change
from shared.mongo import Document

BSON_TYPES = (datetime, UUID, bytes)
_said = msgspec.json.Decoder(tuple[UUID, int, Change, str, str])
T = TypeVar("T", bound=Struct)


def entry_id(case_id: UUID, version: int) -> Binary:
    """Id of a history entry: the case's 16 bytes, then the version, so that a case's history is one range."""
    return Binary(case_id.bytes + version.to_bytes(4, "big"))


def document_of(value: Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=BSON_TYPES)
    document["_id"] = document.pop("id")
    return document


def case_document(file: CaseFile) -> Document:
    document = document_of(file.case)
    document["_id"] = _binary(file.case.id)
    document["feedback_ids"] = [_binary(one) for one in file.case.feedback_ids]
    document["day"] = day_of(file.case.opened_at)
    document["books"] = msgspec.to_builtins(file.books, builtin_types=BSON_TYPES)
    return document


def day_of(at: datetime) -> int:
    """The day of a moment as a number (UTC), by which cases are listed that were opened in a long span."""
    return at.astimezone(UTC).toordinal()


def _binary(identity: UUID) -> Binary:
    """A UUID as MongoDB keeps it; the driver asks a second time what kind of UUIDs it is to write."""
    return Binary(identity.bytes, UUID_SUBTYPE)


def history_document(entry: Entry) -> Document:
    """Its text as it was hashed, and the hash: a third of the work of fields."""
    return {"_id": entry_id(entry.case_id, entry.version), "said": entry.said.decode(), "hash": entry.hash}


def entry_of(document: Document) -> Entry:
    """The entry at its place: a text that was moved is not what the hash of this place was made of."""
    place, said = bytes(document["_id"]), document["said"].encode()
    _, _, change, policy_version, previous = _said.decode(said)
    case_id, version = UUID(bytes=place[:16]), int.from_bytes(place[16:], "big")
    return Entry(case_id, version, change, policy_version, previous, document["hash"], said)


def file_of(document: Document) -> CaseFile:
    books = msgspec.convert(document.pop("books", {}), Books)
    return CaseFile(from_document(document, Case), books)


def from_document(document: Document, form: type[T]) -> T:
    identity = document.pop("_id")
    return msgspec.convert({"id": identity, **document}, form)
