"""What people do with a case: one table of what is legal, and one function per action (docs/domain.md 1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct, structs

from services.routing.domain.case_file import CaseFile, Step, advance
from shared.errors import CQMError
from shared.events import Case, Change, Hold, Status

ActionName = Literal["acknowledge", "start", "reply", "note", "hold", "resume", "resolve"]

LEGAL: dict[Status, tuple[ActionName, ...]] = {
    "new": ("note", "reply", "resolve"),
    "reopened": ("note", "reply", "resolve"),
    "assigned": ("acknowledge", "start", "reply", "note", "hold", "resolve"),
    "acknowledged": ("start", "reply", "note", "hold", "resolve"),
    "in_progress": ("reply", "note", "hold", "resolve"),
    "pending_customer": ("resume", "reply", "note", "resolve"),
    "pending_internal": ("resume", "reply", "note", "resolve"),
    "resolved": ("note",),
    "closed": ("note",),
    "merged": (),
    "cancelled": (),
}
"""Status -> what may be done to a case in it. The API's `allowed_actions` is this row."""

TEXT_LIMIT = 20_000


class Illegal(CQMError):
    """The action does not fit the case's status; `allowed` says what does."""

    def __init__(self, action: str, case: Case) -> None:
        super().__init__(f"a case that is {case.status} cannot be asked to {action}")
        self.allowed = LEGAL[case.status]


class Evidence(CQMError):
    """The action lacks what it has to prove; `pointer` names the field."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class Action(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    """Base of the actions of POST /v1/cases/{id}/actions."""


class Acknowledge(Action, frozen=True, tag="acknowledge"):
    """The owner has seen it."""


class Start(Action, frozen=True, tag="start"):
    """Work begins."""


class Reply(Action, frozen=True, tag="reply"):
    """A human answer. Public (the default) is the customer's first response when it is the first."""

    text: str
    public: bool = True


class Note(Action, frozen=True, tag="note"):
    """For colleagues only; stops no clock."""

    text: str


class HoldFor(Action, frozen=True, tag="hold"):
    """Wait for the customer or for somebody inside."""

    wait_for: Literal["customer", "internal"] = msgspec.field(name="for")
    reason: str


class Resume(Action, frozen=True, tag="resume"):
    """The waiting is over."""


class Resolve(Action, frozen=True, tag="resolve"):
    """Done: needs a resolution text and a cause code of the policy."""

    text: str
    cause_code: str


AnyAction = Acknowledge | Start | Reply | Note | HoldFor | Resume | Resolve


def act(file: CaseFile, action: AnyAction, *, actor: str, at: datetime, causes: tuple[str, ...]) -> Step:
    """The case's next version after `action`.

    Raises Illegal with what is legal now, or Evidence with the field that is missing or wrong.
    `at` earlier than the last change counts as the last change: history does not run backwards.
    """
    name: ActionName = action.__struct_config__.tag  # type: ignore[assignment]  # the tags are the names
    if name not in LEGAL[file.case.status]:
        raise Illegal(name, file.case)
    if isinstance(action, Resolve) and action.cause_code not in causes:
        raise Evidence("/cause_code", f"must be one of the policy's causes: {', '.join(causes)}")
    for field in ("text", "reason"):
        if (written := getattr(action, field, None)) is not None:
            _check_text(field, written)
    return _ACTIONS[type(action)](file, action, actor, max(at, file.case.updated_at))


def _check_text(field: str, written: str) -> None:
    if not written.strip():
        raise Evidence(f"/{field}", "must not be empty")
    if len(written) > TEXT_LIMIT:
        raise Evidence(f"/{field}", f"must have at most {TEXT_LIMIT} characters")


def _acknowledge(file: CaseFile, action: Acknowledge, actor: str, at: datetime) -> Step:
    change = Change(type="acknowledged", actor=actor, at=at)
    return advance(file, change, status="acknowledged", acknowledged_at=at)


def _start(file: CaseFile, action: Start, actor: str, at: datetime) -> Step:
    change = Change(type="started", actor=actor, at=at)
    acknowledged = file.case.acknowledged_at or at
    return advance(file, change, status="in_progress", acknowledged_at=acknowledged)


def _reply(file: CaseFile, action: Reply, actor: str, at: datetime) -> Step:
    change = Change(type="replied", actor=actor, at=at, data={"text": action.text, "public": action.public})
    if not action.public:
        return advance(file, change)
    case = file.case
    status = "in_progress" if case.status in ("assigned", "acknowledged") else case.status
    acknowledged = case.acknowledged_at or (at if case.owner else None)
    return advance(
        file, change, status=status, acknowledged_at=acknowledged,
        first_reply_at=case.first_reply_at or at, unanswered_since=None,
    )  # fmt: skip


def _note(file: CaseFile, action: Note, actor: str, at: datetime) -> Step:
    return advance(file, Change(type="noted", actor=actor, at=at, data={"text": action.text}))


def _hold(file: CaseFile, action: HoldFor, actor: str, at: datetime) -> Step:
    status: Literal["pending_customer", "pending_internal"] = (
        "pending_customer" if action.wait_for == "customer" else "pending_internal"
    )
    holds = (*file.case.holds, Hold(status=status, start=at))
    return advance(
        file, Change(type="held", actor=actor, at=at, reason=action.reason), status=status, holds=holds
    )


def _resume(file: CaseFile, action: Resume, actor: str, at: datetime) -> Step:
    change = Change(type="resumed", actor=actor, at=at)
    return advance(file, change, status="in_progress", holds=ended_holds(file.case, at))


def _resolve(file: CaseFile, action: Resolve, actor: str, at: datetime) -> Step:
    data = {"text": action.text, "cause_code": action.cause_code}
    return advance(
        file, Change(type="resolved", actor=actor, at=at, data=data), status="resolved",
        resolved_at=at, cause_code=action.cause_code, holds=ended_holds(file.case, at),
    )  # fmt: skip


def ended_holds(case: Case, at: datetime) -> tuple[Hold, ...]:
    """The holds of a case with an open one ended at `at`."""
    return tuple(hold if hold.end else structs.replace(hold, end=at) for hold in case.holds)


_ACTIONS: dict[type[Struct], Callable[..., Step]] = {
    Acknowledge: _acknowledge,
    Start: _start,
    Reply: _reply,
    Note: _note,
    HoldFor: _hold,
    Resume: _resume,
    Resolve: _resolve,
}
