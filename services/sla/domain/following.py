"""The clock of a case after its newest snapshot: a function of the snapshot, the promise, and what was said.

The snapshot holds every moment that a clock needs (shared/events.py, Case), so a snapshot that was never
seen loses nothing: what it would have said is said from the next one. What has been said stays: a fired
step does not fire again, a breached target keeps its promise and its due, a verdict is never changed
(docs/domain.md 3.6 to 3.9).
"""

from __future__ import annotations

from datetime import datetime

from services.sla.domain.clock import Clock, Judged, TargetClock, next_moment, open_dues
from services.sla.domain.courses import Course, courses_of, priority_at
from services.sla.domain.promise import Promises
from services.sla.domain.said import labels_of
from services.sla.domain.target import Said, View, begun_anew, cancelled, finished, moved, planned
from shared.events import Case, Target, Verdict

EARLIER_KEPT = 100
"""Verdicts of earlier epochs that a clock document keeps; all were said as events."""
_WITHOUT_VERDICT = frozenset({"merged", "cancelled"})


def follow(
    old: Clock | None, case: Case, partition: int, promises: Promises, now: datetime
) -> tuple[Clock, list[Said]]:
    """The clock as of `case`, and what it owes: verdicts, and breaches that no sweep came to say.

    Steps are never fired here, however late: the sweep does that, by the database's clock. Raises
    NoWorkingTime when the calendar ends before a due; a step beyond it is left out.
    """
    view = View(case, promises.to(case), promises, now)
    targets: dict[Target, TargetClock] = {}
    earlier = list(old.earlier) if old else []
    events: list[Said] = []
    for name, courses in courses_of(case).items():
        target = old.targets.get(name) if old else None
        for course in courses:
            if target is not None and course.epoch < target.epoch:
                continue
            if target is not None and target.epoch < course.epoch:
                earlier += _judged(name, target)
                target = begun_anew(target, course.epoch) if name == "resolution" else None
            target, said = _followed(view, name, target, course)
            events += said
        if target is not None:
            targets[name] = target
    return _document(old, view, partition, targets, tuple(earlier[-EARLIER_KEPT:])), events


def _followed(
    view: View, name: Target, target: TargetClock | None, course: Course
) -> tuple[TargetClock | None, list[Said]]:
    if target is not None and target.finished_at is not None:
        return target, []
    promise = view.promised.target(name, priority_at(view.case, course.stop), course.department)
    if target is not None and target.breached:
        target = moved(view, name, target, course)
    elif promise is not None:
        target = planned(view, name, target, promise, course)
    elif target is not None:
        return cancelled(target), []
    else:
        return None, []
    if course.stop is not None:
        return finished(view, name, target, course.stop)
    return (cancelled(target) if view.case.status in _WITHOUT_VERDICT else target), []


def _judged(name: Target, target: TargetClock) -> list[Judged]:
    """The record of an epoch that ended with a verdict."""
    if target.finished_at is None:
        return []
    assert target.due_at and target.business_seconds is not None and target.wall_seconds is not None
    verdict: Verdict = "breached" if target.state == "breached" else "met"
    return [
        Judged(
            name, target.epoch, verdict, target.due_at, target.finished_at,
            target.business_seconds, target.wall_seconds,
        )
    ]  # fmt: skip


def _document(
    old: Clock | None,
    view: View,
    partition: int,
    targets: dict[Target, TargetClock],
    earlier: tuple[Judged, ...],
) -> Clock:
    case, promised = view.case, view.promised
    return Clock(
        case_id=case.id,
        reference=case.reference,
        partition=partition,
        case_version=case.version,
        version=old.version + 1 if old else 1,
        epoch=case.reopened,
        status=case.status,
        labels=labels_of(case),
        policy_version=promised.policy_version,
        changed_at=view.now,
        sla=promised.sla,
        next_at=next_moment(targets),
        open_dues=open_dues(targets),
        targets=targets,
        earlier=earlier,
        holds=view.pauses(None),
    )
