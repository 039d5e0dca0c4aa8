"""What may be asked of a case: the bodies of POST /v1/cases/{id}/actions, told apart by `action`."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from shared.events import Severity, Urgency

ActionName = Literal[
    "acknowledge", "start", "reply", "customer_message", "note", "hold", "resume", "assign", "transfer",
    "prioritise", "resolve", "reopen", "merge", "cancel", "close",
]  # fmt: skip


class Action(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    """Base. Texts and reasons must say something, in at most 20,000 characters."""


class Acknowledge(Action, frozen=True, tag="acknowledge"):
    """The owner has seen it."""


class Start(Action, frozen=True, tag="start"):
    """Work begins."""


class Reply(Action, frozen=True, tag="reply"):
    """A human answer. Public (the default) is the customer's first response when it is the first."""

    text: str
    public: bool = True


class CustomerMessage(Action, frozen=True, tag="customer_message"):
    """The customer said more: a case that waited for it goes on, a resolved one is reopened."""

    text: str


class Note(Action, frozen=True, tag="note"):
    """For colleagues only; stops no clock."""

    text: str


class HoldFor(Action, frozen=True, tag="hold"):
    """Wait for the customer or for somebody inside."""

    wait_for: Literal["customer", "internal"] = msgspec.field(name="for")
    reason: str


class Resume(Action, frozen=True, tag="resume"):
    """The waiting is over."""


class Assign(Action, frozen=True, tag="assign"):
    """A supervisor names the owner: an agent of the department with room for it."""

    owner: str


class Transfer(Action, frozen=True, tag="transfer"):
    """Another department takes over, and its head becomes accountable."""

    department: str
    reason: str


class Prioritise(Action, frozen=True, tag="prioritise"):
    """Another judgement of harm or time pressure; what is not given stays."""

    reason: str
    severity: Severity | None = None
    urgency: Urgency | None = None


class Resolve(Action, frozen=True, tag="resolve"):
    """Done: needs a resolution text and a cause code of the policy."""

    text: str
    cause_code: str


class Reopen(Action, frozen=True, tag="reopen"):
    """It was not done after all."""

    reason: str


class Merge(Action, frozen=True, tag="merge"):
    """The same matter as another open case, by id or reference, which takes the evidence over."""

    into: str


class Cancel(Action, frozen=True, tag="cancel"):
    """Nothing to do: a mistake, spam, withdrawn."""

    reason: str


class Close(Action, frozen=True, tag="close"):
    """The matter has ended; `satisfied` is what the customer said of the solution."""

    satisfied: bool | None = None


AnyAction = (
    Acknowledge
    | Start
    | Reply
    | CustomerMessage
    | Note
    | HoldFor
    | Resume
    | Assign
    | Transfer
    | Prioritise
    | Resolve
    | Reopen
    | Merge
    | Cancel
    | Close
)


def name_of(action: AnyAction) -> ActionName:
    """The `action` of a body."""
    return action.__struct_config__.tag  # type: ignore[return-value]  # the tags are the names
