"""The course of one target: planned, moved by holds, finished, cancelled, begun anew (docs/domain.md 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from msgspec.structs import replace

from services.sla.domain.clock import ClockStep, TargetClock
from services.sla.domain.pauses import business_seconds, moment_after, pauses_of, wall_seconds
from services.sla.domain.promise import Promise, Promised, Promises
from services.sla.domain.said import breached_event, finished_event
from shared.calendar import Calendar
from shared.events import Case, Hold, Target, TargetBreached, TargetFinished

Said: TypeAlias = TargetBreached | TargetFinished


@dataclass(frozen=True, slots=True)
class View:
    """What the targets of one case are looked at with."""

    case: Case
    promised: Promised
    promises: Promises
    now: datetime

    def pauses(self, stop: datetime | None) -> tuple[Hold, ...]:
        return pauses_of(self.case.holds, self.promised.pause_on, stop)


def planned(
    view: View, name: Target, target: TargetClock | None, promise: Promise, epoch: int, stop: datetime | None
) -> TargetClock:
    """Computed from the original start, never from now; steps that have fired stay as they are."""
    calendar = view.promises.hours(view.promised.calendar)
    due_at = moment_after(calendar, view.case.opened_at, promise.seconds, view.pauses(stop))
    steps = {
        (step.step, step.repetition): ClockStep(step.step, step.action, step.seconds, step.repetition)
        for step in promise.steps
    }
    steps |= {step.key: step for step in (target.steps if target else ()) if step.fired_at is not None}
    return TargetClock(
        epoch=epoch,
        state="paused" if due_at is None else "running",
        seconds=promise.seconds,
        calendar=view.promised.calendar,
        started_at=view.case.opened_at,
        due_at=due_at,
        steps=_timed(view, name, calendar, steps.values(), stop),
    )


def moved(view: View, name: Target, target: TargetClock, stop: datetime | None) -> TargetClock:
    """A breached target: its promise and due stand, its remaining steps wait while the case does."""
    calendar = view.promises.calendar(target.calendar)
    if calendar is None or view.promised.targets is None:
        return target
    return replace(target, state="breached", steps=_timed(view, name, calendar, target.steps, stop))


def _timed(
    view: View, name: Target, calendar: Calendar, steps: Iterable[ClockStep], stop: datetime | None
) -> tuple[ClockStep, ...]:
    """Each step that has not fired at its time; without one where no further step is to be taken."""
    idle = stop is not None or _is_quiet(view.case, name)
    pauses, opened_at = view.pauses(stop), view.case.opened_at
    times: dict[int, datetime | None] = {}
    timed = []
    for step in steps:
        if step.fired_at is None:
            if not idle and step.seconds not in times:
                times[step.seconds] = moment_after(calendar, opened_at, step.seconds, pauses)
            moment = None if idle else times[step.seconds]
            step = ClockStep(step.step, step.action, step.seconds, step.repetition, moment, cancelled=idle)
        timed.append(step)
    return tuple(timed)


def _is_quiet(case: Case, name: Target) -> bool:
    """An acknowledgement ends the steps of the first response, not its promise (docs/domain.md 3.11)."""
    return name == "first_response" and case.acknowledged_at is not None


def finished(view: View, name: Target, target: TargetClock, stop: datetime) -> tuple[TargetClock, list[Said]]:
    """Judged by when it stopped, not by when that became known; the breach is said if it was not yet."""
    calendar = view.promises.hours(target.calendar)
    pauses, start = view.pauses(stop), view.case.opened_at
    is_late = target.due_at is not None and stop > target.due_at
    judged = replace(
        _without_steps(target),
        state="breached" if is_late else "met",
        breached=target.breached or is_late,
        finished_at=stop,
        business_seconds=business_seconds(calendar, start, stop, pauses),
        wall_seconds=wall_seconds(start, stop, pauses),
    )
    said: list[Said] = []
    if is_late and not target.breached:
        said.append(breached_event(view.case, name, judged, view.now))
    said.append(finished_event(view.case, name, judged))
    return judged, said


def cancelled(target: TargetClock) -> TargetClock:
    return replace(_without_steps(target), state="cancelled")


def _without_steps(target: TargetClock) -> TargetClock:
    """A clock that stops takes no further step; those that had fired stay for the reader."""
    steps = [
        step if step.fired_at is not None else replace(step, at=None, cancelled=True) for step in target.steps
    ]
    return replace(target, steps=tuple(steps))


def begun_anew(target: TargetClock, epoch: int) -> TargetClock:
    """The case was reopened: the clock runs on from its start less the holds; a breach remains one."""
    steps = [step if step.fired_at is not None else replace(step, cancelled=False) for step in target.steps]
    return replace(
        target,
        epoch=epoch,
        state="running",
        breached=target.state == "breached",
        finished_at=None,
        business_seconds=None,
        wall_seconds=None,
        steps=tuple(steps),
    )
