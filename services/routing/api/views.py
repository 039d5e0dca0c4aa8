"""How cases look to people."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from fastapi import Response

from services.routing.domain.case_file import CaseFile, Entry
from services.routing.domain.hiding import shown_customer, struck
from services.routing.domain.permission import Forbidden, allowed_actions
from services.routing.store import CaseStore
from shared.events import Case, Change
from shared.permission import sees, sees_personal
from shared.principal import Principal
from shared.problem import Fault, Problem, pointer
from shared.sealing import Seals

json = msgspec.json.Encoder()
T = TypeVar("T")


def shown(file: CaseFile, who: Principal, seals: Seals) -> dict[str, Any]:
    """A case as the API answers it to the caller; `erased`: what its customer said can be read no more."""
    case = seals.opened_case(file.case)
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
    view["decision"] = {"rule": case.rule, "reason": case.reason}
    personal = sees_personal(who, case.department)
    if not personal:
        view |= {name: struck(view[name], case.customer) for name in ("subject", "decision")}
    view["customer"] = shown_customer(case.customer, personal=personal)
    view["allowed_actions"] = allowed_actions(who, case)
    view["erased"] = bool(case.sealed)
    return view


def shown_history(case: Case, entries: list[Entry], who: Principal, seals: Seals) -> list[dict[str, Any]]:
    """The lines of a case's timeline, as the caller sees them."""
    case = seals.opened_case(case)
    lines = [_line(seq, entry, seals.opened_change(entry.change)) for seq, entry in enumerate(entries, 1)]
    if sees_personal(who, case.department):
        return lines
    return [line | {name: struck(line[name], case.customer) for name in ("reason", "data")} for line in lines]


def _line(seq: int, entry: Entry, change: Change) -> dict[str, Any]:
    return {
        "seq": seq, "version": entry.version, "at": change.at, "actor": change.actor, "type": change.type,
        "from": change.from_status or None, "to": change.to_status or None, "reason": change.reason,
        "data": change.data | ({"feedback_id": change.feedback_id} if change.feedback_id else {}),
        "hash": entry.hash, "erased": bool(change.sealed),
    }  # fmt: skip


async def found(store: CaseStore, identity: str, who: Principal) -> CaseFile:
    """A case by id or reference. Raises Problem 404, for one that the caller may not know of, too."""
    file = await store.find(identity) if len(identity) <= 40 else None
    if file is None or not sees(who, file.case.department):
        raise unknown()
    return file


def unknown() -> Problem:
    """The answer for a case that is not there."""
    return Problem(404, "No such case.")


def forbidden(error: Forbidden) -> Problem:
    """The answer for what none of the caller's roles allows."""
    return Problem(403, str(error), roles=error.roles, allowed_actions=error.allowed)


def case_answer(file: CaseFile, who: Principal, seals: Seals, **beside: Any) -> Response:
    """A case, with its version as ETag; `beside` stands in it, too."""
    return answer(shown(file, who, seals) | beside, headers={"ETag": f'"{file.case.version}"'})


def shown_briefly(file: CaseFile) -> dict[str, Any]:
    """What another case says of this one."""
    names = ("id", "reference", "status", "priority", "category", "department", "opened_at")
    return {name: getattr(file.case, name) for name in names}


def answer(content: Any, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(json.encode(content), media_type="application/json", headers=headers)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes, unfit: str) -> T:
    """What a body says. Raises Problem: 400 when it is not JSON, 422 (`unfit`) with the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # "... - at `$.text`": msgspec's path as RFC 6901
        reason, _, path = str(error).partition(" - at `$")
        where = pointer(*path.strip("`.").split(".")) if path.strip("`.") else ""
        fault = Fault(
            where, "is none of the values allowed" if reason.startswith("Invalid") else reason[:200]
        )
        raise Problem(422, unfit, [fault]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "The body is not JSON.") from None
