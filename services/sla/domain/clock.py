"""The clock document of a case: what was promised, what has been said, and what comes next.

It carries its resolved steps, so that no old policy has to be looked up to see what is due (docs/sla.md).
Times are UTC to the millisecond. A target's state:

running ── due passes ──> breached ── stops ──> breached (finished)
   │  └── stops in time ──> met (finished)
   └── hold begins / ends ──> paused / running
running | paused | breached ── merged, cancelled, no longer promised ──> cancelled
met | breached (finished) ── reopened (resolution), a message (update), transfer (ola) ──> the next epoch
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from shared.events import CaseLabels, EscalationAction, Hold, Status, Target, Verdict

TargetState = Literal["running", "paused", "met", "breached", "cancelled"]


class ClockStep(Struct, frozen=True, array_like=True, gc=False):
    """One escalation step. `at` is None while a pause in progress stands before it.

    `seconds` is its business time after the start, by which it moves when a pause ends; `to` is whom `notify`
    tells. `step` is the number in its target that its event is said under.
    """

    step: int
    action: EscalationAction
    seconds: int
    repetition: int = 0
    to: str = ""
    at: datetime | None = None
    fired_at: datetime | None = None
    cancelled: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is still to fire, now or when a pause ends."""
        return self.fired_at is None and not self.cancelled

    @property
    def key(self) -> tuple[int, int]:
        """What it is said under."""
        return self.step, self.repetition

    @property
    def deed(self) -> tuple[EscalationAction, str, int]:
        """What it does: by this, and not by its number, it is the same step in another `sla` entry."""
        return self.action, self.to, self.repetition


class TargetClock(Struct, frozen=True, omit_defaults=True, gc=False):
    """One target of a case. `seconds` is the promise in business time of `calendar`.

    `epoch` counts how often it was begun anew: by reopenings (resolution), by customer messages after the
    first response (update), by transfers (ola, whose `department` it is). `breached` means that
    TargetBreached was said: from then on the promise and its due stay as they are, whatever becomes of the
    priority. Spans are given when it has finished with a verdict.
    """

    epoch: int
    state: TargetState
    seconds: int
    calendar: str
    started_at: datetime
    due_at: datetime | None = None
    breached: bool = False
    finished_at: datetime | None = None
    business_seconds: int | None = None
    wall_seconds: int | None = None
    steps: tuple[ClockStep, ...] = ()
    department: str = ""

    @property
    def is_open(self) -> bool:
        return self.finished_at is None and self.state != "cancelled"

    def next_moment(self) -> datetime | None:
        """When something is to be said next: the breach, or a step that waits."""
        if not self.is_open:
            return None
        following = None if self.breached else self.due_at
        for step in self.steps:
            at = step.at
            if at is None or step.fired_at is not None or step.cancelled:
                continue
            if following is None or at < following:
                following = at
        return following


class Judged(Struct, frozen=True, omit_defaults=True):
    """The verdict of an epoch that a reopening ended; it stays as it was said."""

    target: Target
    epoch: int
    verdict: Verdict
    due_at: datetime
    finished_at: datetime
    business_seconds: int
    wall_seconds: int


class OpenDues(Struct, frozen=True, omit_defaults=True, gc=False):
    """Dues of the targets that are still open, for lists of what is late; `earliest` of them all."""

    earliest: datetime
    first_response: datetime | None = None
    update: datetime | None = None
    resolution: datetime | None = None
    ola: datetime | None = None


class Clock(Struct, frozen=True, omit_defaults=True, gc=False):
    """One per case. `partition` is that of its record in cqm.cases.v1: whoever holds it moves the clock.

    `case_version` is the snapshot that it follows, `version` its own, one more with each write. `next_at`
    is the earliest moment at which something is to be said; None when nothing is.
    """

    case_id: UUID = field(name="_id")
    reference: str
    partition: int
    case_version: int
    version: int
    epoch: int
    status: Status
    labels: CaseLabels
    policy_version: str
    changed_at: datetime
    sla: str = ""
    next_at: datetime | None = None
    open_dues: OpenDues | None = None
    targets: dict[Target, TargetClock] = {}
    earlier: tuple[Judged, ...] = ()
    holds: tuple[Hold, ...] = ()


def next_moment(targets: dict[Target, TargetClock]) -> datetime | None:
    """The earliest moment of all targets at which something is to be said."""
    moments = [moment for target in targets.values() if (moment := target.next_moment()) is not None]
    return min(moments, default=None)


def open_dues(targets: dict[Target, TargetClock]) -> OpenDues | None:
    """None when nothing is open, or all that is open waits."""
    dues = {
        name: target.due_at
        for name, target in targets.items()
        if target.is_open and target.due_at is not None
    }
    if not dues:
        return None
    return OpenDues(min(dues.values()), **dues)
