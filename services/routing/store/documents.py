"""Cases, outcomes and history entries as documents, and back."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from bson import Binary
from msgspec import Struct

from services.routing.domain.case_file import Books, CaseFile, Entry
from shared.events import Case
from shared.mongo import Document

BSON_TYPES = (datetime, UUID)
T = TypeVar("T", bound=Struct)


def entry_id(case_id: UUID, version: int) -> Binary:
    """Id of a history entry: the case's 16 bytes, then the version, so that a case's history is one range."""
    return Binary(case_id.bytes + version.to_bytes(4, "big"))


def document_of(value: Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=BSON_TYPES)
    document["_id"] = document.pop("id")
    return document


def case_document(file: CaseFile) -> Document:
    return document_of(file.case) | {"books": msgspec.to_builtins(file.books, builtin_types=BSON_TYPES)}


def history_document(entry: Entry) -> Document:
    document: Document = msgspec.to_builtins(entry, builtin_types=BSON_TYPES)
    return {"_id": entry_id(entry.case_id, entry.version)} | document


def file_of(document: Document) -> CaseFile:
    books = msgspec.convert(document.pop("books", {}), Books)
    return CaseFile(from_document(document, Case), books)


def from_document(document: Document, form: type[T]) -> T:
    identity = document.pop("_id")
    return msgspec.convert({"id": identity, **document}, form)
