"""The course of one target: planned, moved by holds, finished, cancelled, begun anew (docs/domain.md 3)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from msgspec.structs import replace

from services.sla.domain.clock import ClockStep, TargetClock
from services.sla.domain.courses import Course
from services.sla.domain.pauses import WorkingTime, pauses_of, wall_seconds
from services.sla.domain.promise import Promise, Promised, Promises
from services.sla.domain.said import breached_event, finished_event
from services.sla.domain.steps import beside_fired
from shared.calendar import NoWorkingTime
from shared.events import Case, Hold, Target, TargetBreached, TargetFinished

Said: TypeAlias = TargetBreached | TargetFinished


@dataclass(slots=True)
class View:
    """What the targets of one case are looked at with; working times that were asked for are remembered."""

    case: Case
    promised: Promised
    promises: Promises
    now: datetime
    _times: dict[tuple[str, datetime, datetime | None], WorkingTime] = field(default_factory=dict)

    def pauses(self, stop: datetime | None) -> tuple[Hold, ...]:
        holds = self.case.holds
        return pauses_of(holds, self.promised.pause_on, stop) if holds else ()

    def working_time(self, calendar: str, start: datetime, stop: datetime | None) -> WorkingTime:
        key = calendar, start, stop
        if key not in self._times:
            self._times[key] = WorkingTime(self.promises.hours(calendar), start, self.pauses(stop))
        return self._times[key]


def planned(
    view: View, name: Target, target: TargetClock | None, promise: Promise, course: Course
) -> TargetClock:
    """Computed from the original start, never from now; what has fired is not armed again.

    A step beyond the calendar is left out; raises NoWorkingTime where the due is.
    """
    time = view.working_time(promise.calendar, course.start, course.stop)
    times = _moments(view, name, time, promise)
    due_at = times[promise.seconds]
    idle = course.stop is not None or _is_quiet(view.case, name)
    steps = [
        ClockStep(
            step.step, step.action, step.seconds, step.repetition, step.to,
            None if idle else times[step.seconds], None, idle,
        )
        for step in promise.steps
        if step.seconds in times
    ]  # fmt: skip
    fired = [step for step in target.steps if step.fired_at is not None] if target is not None else []
    return TargetClock(
        epoch=course.epoch,
        state="paused" if due_at is None else "running",
        seconds=promise.seconds,
        calendar=promise.calendar,
        started_at=course.start,
        due_at=due_at,
        steps=tuple(beside_fired(steps, fired) if fired else steps),
        department=course.department,
    )


def _moments(view: View, name: Target, time: WorkingTime, promise: Promise) -> dict[int, datetime | None]:
    """By business seconds: that of the due, and those of the steps within the calendar."""
    try:
        return dict(zip(promise.spans, time.moments_after(promise.spans), strict=True))
    except NoWorkingTime:
        times = {promise.seconds: time.moment_after(promise.seconds)}
    for seconds in promise.spans[1:]:
        with suppress(NoWorkingTime):
            times[seconds] = time.moment_after(seconds)
    view.promises.goes_beyond(view.promised.sla, name)
    return times


def moved(view: View, name: Target, target: TargetClock, course: Course) -> TargetClock:
    """A breached target: its promise and due stand, its remaining steps wait while the case does.

    A step beyond the calendar is cancelled: the promise that it is from may be of no policy any more.
    """
    if view.promises.calendar(target.calendar) is None or not view.promised.targets:
        return target
    time = view.working_time(target.calendar, target.started_at, course.stop)
    idle = course.stop is not None or _is_quiet(view.case, name)
    steps = []
    for step in target.steps:
        if step.fired_at is None:
            step = replace(step, at=None, cancelled=idle)
            if not idle:
                try:
                    step = replace(step, at=time.moment_after(step.seconds))
                except NoWorkingTime:
                    step = replace(step, cancelled=True)
                    view.promises.goes_beyond(view.promised.sla, name)
        steps.append(step)
    return replace(target, state="breached", steps=tuple(steps))


def _is_quiet(case: Case, name: Target) -> bool:
    """An acknowledgement ends the steps of the first response, not its promise (docs/domain.md 3.11)."""
    return name == "first_response" and case.acknowledged_at is not None


def finished(view: View, name: Target, target: TargetClock, stop: datetime) -> tuple[TargetClock, list[Said]]:
    """Judged by when it stopped, not by when that became known; the breach is said if it was not yet."""
    time = view.working_time(target.calendar, target.started_at, stop)
    is_late = target.due_at is not None and stop > target.due_at
    judged = replace(
        _without_steps(target),
        state="breached" if is_late else "met",
        breached=target.breached or is_late,
        finished_at=stop,
        business_seconds=time.seconds_until(stop),
        wall_seconds=wall_seconds(target.started_at, stop, view.pauses(stop)),
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
