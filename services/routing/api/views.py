"""How cases look to people, and how lists of them are found and paged."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Response

from services.routing.domain.case_file import CaseFile, Entry
from services.routing.domain.lifecycle import LEGAL
from services.routing.store import CaseStore
from shared.events import Case, Priority
from shared.problem import Fault, Problem

json = msgspec.json.Encoder()
ORDERS = {
    "-opened_at": ("opened_at", -1),
    "opened_at": ("opened_at", 1),
    "priority": ("priority", 1),
    "-updated_at": ("updated_at", -1),
}
"""`sort` of the API -> field and direction; the id breaks ties."""


def cursor_after(case: Case, field: str) -> str:
    """Where the next page of a list ordered by `field` begins."""
    value = getattr(case, field)
    return base64.urlsafe_b64encode(json.encode([field, value, case.id])).decode()


def beyond(cursor: str, field: str, direction: int) -> dict[str, Any]:
    """The filter for what comes after a cursor. Raises Problem 422 for one that is not of this list."""
    fault = Problem(422, "The cursor is not one of this list.", [Fault("?cursor", "is not from this list")])
    try:
        content = base64.urlsafe_b64decode(cursor.encode("ascii"))
        if field == "priority":
            of, value, last = msgspec.json.decode(content, type=tuple[str, Priority, UUID])
        else:
            of, value, last = msgspec.json.decode(content, type=tuple[str, datetime, UUID])  # type: ignore[assignment]
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise fault from None
    if of != field:
        raise fault
    operator = "$gt" if direction > 0 else "$lt"
    return {"$or": [{field: {operator: value}}, {field: value, "_id": {operator: last}}]}


def shown(file: CaseFile) -> dict[str, Any]:
    """A case as the API answers it."""
    case = file.case
    view: dict[str, Any] = {
        name: getattr(case, name)
        for name in (
            "id", "reference", "version", "status", "priority", "severity", "urgency", "category", "kind",
            "channel", "source", "language", "department", "owner", "holder", "accountable", "product",
            "supplier_id", "subject", "feedback_ids", "linked_to", "merged_into", "consulted",
            "informed", "cause_code", "satisfied", "reopened", "opened_at", "updated_at", "assigned_at",
            "acknowledged_at", "first_reply_at", "resolved_at", "closed_at", "policy_version",
        )
    }  # fmt: skip
    for name in ("owner", "holder", "accountable", "supplier_id"):
        view[name] = view[name] or None
    personal = msgspec.to_builtins(case.customer.personal) if case.customer.personal else {}
    view["customer"] = {
        "id": case.customer.id, "tier": case.customer.tier, "region": case.customer.region, **personal,
    }  # fmt: skip
    view["decision"] = {"rule": case.rule, "reason": case.reason}
    view["allowed_actions"] = LEGAL[case.status]
    return view


def shown_entry(seq: int, entry: Entry) -> dict[str, Any]:
    """One line of a timeline."""
    change = entry.change
    return {
        "seq": seq, "version": entry.version, "at": change.at, "actor": change.actor, "type": change.type,
        "from": change.from_status or None, "to": change.to_status or None, "reason": change.reason,
        "data": change.data | ({"feedback_id": change.feedback_id} if change.feedback_id else {}),
        "hash": entry.hash,
    }  # fmt: skip


async def found(store: CaseStore, identity: str) -> CaseFile:
    """A case by id or reference. Raises Problem 404."""
    file = await store.find(identity) if len(identity) <= 40 else None
    if file is None:
        raise unknown()
    return file


def unknown() -> Problem:
    """The answer for a case that is not there."""
    return Problem(404, "No such case.")


def case_answer(file: CaseFile) -> Response:
    """A case, with its version as ETag."""
    return answer(shown(file), headers={"ETag": f'"{file.case.version}"'})


def answer(content: Any, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(json.encode(content), media_type="application/json", headers=headers)
