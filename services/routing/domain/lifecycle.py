"""The life of a case: one table of what is legal, and one function per action (docs/domain.md 1.6).

`assign` and `merge` need more than the case: a pool (assignment.py), and the other case (merging.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct, structs

from services.routing.domain import action_types as actions
from services.routing.domain.action_types import ActionName, AnyAction, name_of
from services.routing.domain.case_file import CaseFile, Step, advance
from shared.errors import CQMError
from shared.events import Case, Change, Hold, Status
from shared.policy import Policy

_ANY_TIME: tuple[ActionName, ...] = (
    "reply", "customer_message", "note", "assign", "transfer", "prioritise", "resolve", "merge", "cancel",
)  # fmt: skip
LEGAL: dict[Status, tuple[ActionName, ...]] = {
    "new": _ANY_TIME,
    "reopened": _ANY_TIME,
    "assigned": ("acknowledge", "start", "hold", *_ANY_TIME),
    "acknowledged": ("start", "hold", *_ANY_TIME),
    "in_progress": ("hold", *_ANY_TIME),
    "pending_customer": ("resume", *_ANY_TIME),
    "pending_internal": ("resume", *_ANY_TIME),
    "resolved": ("close", "reopen", "customer_message", "note"),
    "closed": ("reopen", "note"),
    "merged": (),
    "cancelled": (),
}
"""Status -> what may be done to a case in it. The API's `allowed_actions` is this row."""

TEXT_LIMIT = 20_000
ROUTING = "routing"


class Illegal(CQMError):
    """The action does not fit the case's status; `allowed` says what does."""

    def __init__(self, action: str, case: Case, why: str = "") -> None:
        super().__init__(f"a case that is {case.status} cannot be asked to {action}" + (why and f": {why}"))
        self.case = case
        self.allowed = tuple(name for name in LEGAL[case.status] if name != action)


class Evidence(CQMError):
    """The action lacks what it has to prove; `pointer` names the field."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


def check(file: CaseFile, action: AnyAction) -> None:
    """Raises Illegal with what is legal now, or Evidence with the field that says nothing or too much."""
    name = name_of(action)
    if name not in LEGAL[file.case.status]:
        raise Illegal(name, file.case)
    for field in ("text", "reason"):
        if (written := getattr(action, field, None)) is not None:
            _check_text(field, written)


def act(file: CaseFile, action: AnyAction, *, actor: str, at: datetime, policy: Policy) -> Step:
    """The case's next version after `action`.

    Raises Illegal, or Evidence with the field that is missing or wrong. `at` earlier than the last change
    counts as the last change: history does not run backwards.
    """
    check(file, action)
    return _ACTIONS[type(action)](file, action, actor, max(at, file.case.updated_at), policy)


def close_silent(file: CaseFile, at: datetime, policy: Policy) -> Step:
    """The end of a case that was resolved and about which nobody said anything since (`close_after`)."""
    reason = f"resolved, and silent for {policy.cases.close_after}"
    return advance(
        file, Change(type="closed", actor=ROUTING, at=at, reason=reason), status="closed", closed_at=at
    )


def reopened(file: CaseFile, change: Change, books: dict[str, Any] | None = None, **fields: Any) -> Step:
    """The case open again: the time since its resolution is a hold (docs/domain.md 3.8), and its owner of
    before is the first to be asked."""
    case = file.case
    since = case.resolved_at or case.updated_at
    fields.setdefault("unanswered_since", case.unanswered_since or change.at)
    return advance(
        file, change, books={"prefer": case.owner, "avoid": "", **(books or {})}, status="reopened",
        owner="", holder="",
        holds=(*case.holds, Hold(status="resolved", start=since, end=change.at)),
        reopened=case.reopened + 1, resolved_at=None, closed_at=None, satisfied=None, **fields,
    )  # fmt: skip


def released(
    file: CaseFile, *, actor: str, at: datetime, reason: str, data: dict[str, Any] | None = None, **books: Any
) -> Step:
    """The case without an owner again, for the department's pool to give away. `books`: whom next."""
    data = {"owner": file.case.owner, **(data or {})}
    change = Change(type="released", actor=actor, at=at, reason=reason, data=data)
    return advance(
        file, change, books=books, status="new", owner="", holder="", holds=ended_holds(file.case, at)
    )


def transferred(
    file: CaseFile, department: str, accountable: str, *, actor: str, at: datetime, reason: str
) -> Step:
    """Another department's case from now on; the change says who is accountable now and who was."""
    case = file.case
    data = {
        "from": case.department, "to": department, "owner": case.owner,
        "accountable_from": case.accountable, "accountable_to": accountable,
    }  # fmt: skip
    change = Change(type="transferred", actor=actor, at=at, reason=reason, data=data)
    return advance(
        file, change, books={"avoid": "", "prefer": "", "waiting": False, "passed": ()}, status="new",
        owner="", holder="", department=department, accountable=accountable, skills=(),
        holds=ended_holds(case, at),
    )  # fmt: skip


def unacknowledged(file: CaseFile, at: datetime, policy: Policy) -> Step:
    """Back to the pool: the owner let the policy's `acknowledge_within` pass (docs/domain.md 2.8)."""
    reason = f"{file.case.owner} did not acknowledge it in time"
    return released(file, actor=ROUTING, at=at, reason=reason, avoid=file.case.owner, prefer="")


def may_reopen(case: Case, at: datetime, policy: Policy) -> bool:
    """A resolved case at any time, a closed one within the policy's `reopen_within` of its end."""
    ended = case.closed_at or case.updated_at
    within = timedelta(seconds=policy.cases.reopen_within.seconds)
    return case.status == "resolved" or (case.status == "closed" and at - ended <= within)


def ended_holds(case: Case, at: datetime) -> tuple[Hold, ...]:
    """The holds of a case with an open one ended at `at`."""
    return tuple(hold if hold.end else structs.replace(hold, end=at) for hold in case.holds)


def _check_text(field: str, written: str) -> None:
    if not written.strip():
        raise Evidence(f"/{field}", "must not be empty")
    if len(written) > TEXT_LIMIT:
        raise Evidence(f"/{field}", f"must have at most {TEXT_LIMIT} characters")
    if "\0" in written:
        raise Evidence(f"/{field}", "must not contain NUL (U+0000)")


def _acknowledge(
    file: CaseFile, action: actions.Acknowledge, actor: str, at: datetime, policy: Policy
) -> Step:
    change = Change(type="acknowledged", actor=actor, at=at)
    return advance(file, change, status="acknowledged", acknowledged_at=at)


def _start(file: CaseFile, action: actions.Start, actor: str, at: datetime, policy: Policy) -> Step:
    change = Change(type="started", actor=actor, at=at)
    acknowledged = file.case.acknowledged_at or at
    return advance(file, change, status="in_progress", acknowledged_at=acknowledged)


def _reply(file: CaseFile, action: actions.Reply, actor: str, at: datetime, policy: Policy) -> Step:
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


def _customer_message(
    file: CaseFile, action: actions.CustomerMessage, actor: str, at: datetime, policy: Policy
) -> Step:
    case, change = (
        file.case,
        Change(type="customer_message", actor=actor, at=at, data={"text": action.text}),
    )
    if case.status == "resolved":
        return reopened(file, change)
    unanswered = case.unanswered_since or at
    if case.status != "pending_customer":
        return advance(file, change, unanswered_since=unanswered)
    holds = ended_holds(case, at)
    return advance(file, change, status="in_progress", holds=holds, unanswered_since=unanswered)


def _note(file: CaseFile, action: actions.Note, actor: str, at: datetime, policy: Policy) -> Step:
    return advance(file, Change(type="noted", actor=actor, at=at, data={"text": action.text}))


def _hold(file: CaseFile, action: actions.HoldFor, actor: str, at: datetime, policy: Policy) -> Step:
    status: Literal["pending_customer", "pending_internal"] = (
        "pending_customer" if action.wait_for == "customer" else "pending_internal"
    )
    holds = (*file.case.holds, Hold(status=status, start=at))
    change = Change(type="held", actor=actor, at=at, reason=action.reason)
    return advance(file, change, status=status, holds=holds)


def _resume(file: CaseFile, action: actions.Resume, actor: str, at: datetime, policy: Policy) -> Step:
    change = Change(type="resumed", actor=actor, at=at)
    return advance(file, change, status="in_progress", holds=ended_holds(file.case, at))


def _transfer(file: CaseFile, action: actions.Transfer, actor: str, at: datetime, policy: Policy) -> Step:
    case, to = file.case, policy.departments.get(action.department)
    if to is None or action.department == case.department:
        others = ", ".join(name for name in policy.departments if name != case.department)
        raise Evidence("/department", f"must be another department of the policy: {others}")
    return transferred(
        file, action.department, to.head or to.supervisor or "", actor=actor, at=at, reason=action.reason
    )


def _prioritise(file: CaseFile, action: actions.Prioritise, actor: str, at: datetime, policy: Policy) -> Step:
    case = file.case
    severity, urgency = action.severity or case.severity, action.urgency or case.urgency
    if (severity, urgency) == (case.severity, case.urgency):
        raise Evidence("/severity", "severity or urgency must be another one than now")
    priority = policy.priority(severity, urgency, file.books.raised)
    data = {
        "from": case.priority, "to": priority, "severity_from": case.severity, "severity_to": severity,
        "urgency_from": case.urgency, "urgency_to": urgency,
    }  # fmt: skip
    change = Change(type="prioritised", actor=actor, at=at, reason=action.reason, data=data)
    return advance(file, change, severity=severity, urgency=urgency, priority=priority)


def _resolve(file: CaseFile, action: actions.Resolve, actor: str, at: datetime, policy: Policy) -> Step:
    if action.cause_code not in policy.causes:
        raise Evidence("/cause_code", f"must be one of the policy's causes: {', '.join(policy.causes)}")
    data = {"text": action.text, "cause_code": action.cause_code}
    change = Change(type="resolved", actor=actor, at=at, data=data)
    return advance(
        file, change, status="resolved", resolved_at=at, cause_code=action.cause_code,
        holds=ended_holds(file.case, at),
    )  # fmt: skip


def _reopen(file: CaseFile, action: actions.Reopen, actor: str, at: datetime, policy: Policy) -> Step:
    if not may_reopen(file.case, at, policy):
        within = policy.cases.reopen_within
        raise Illegal("reopen", file.case, f"it ended more than {within} ago, a new feedback opens another")
    return reopened(file, Change(type="reopened", actor=actor, at=at, reason=action.reason))


def _cancel(file: CaseFile, action: actions.Cancel, actor: str, at: datetime, policy: Policy) -> Step:
    change = Change(type="cancelled", actor=actor, at=at, reason=action.reason)
    return advance(file, change, status="cancelled", closed_at=at, holds=ended_holds(file.case, at))


def _close(file: CaseFile, action: actions.Close, actor: str, at: datetime, policy: Policy) -> Step:
    data = {} if action.satisfied is None else {"satisfied": action.satisfied}
    change = Change(type="closed", actor=actor, at=at, data=data)
    return advance(file, change, status="closed", closed_at=at, satisfied=action.satisfied)


_ACTIONS: dict[type[Struct], Callable[..., Step]] = {
    actions.Acknowledge: _acknowledge,
    actions.Start: _start,
    actions.Reply: _reply,
    actions.CustomerMessage: _customer_message,
    actions.Note: _note,
    actions.HoldFor: _hold,
    actions.Resume: _resume,
    actions.Transfer: _transfer,
    actions.Prioritise: _prioritise,
    actions.Resolve: _resolve,
    actions.Reopen: _reopen,
    actions.Cancel: _cancel,
    actions.Close: _close,
}
