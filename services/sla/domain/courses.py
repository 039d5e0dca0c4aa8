"""From when to when each clock of a case runs, as its newest snapshot tells (docs/domain.md 3.7).

The snapshot has every moment of the past that a clock needs: answered messages, former departments and
priorities, resolutions that a reopening ended. So a snapshot that was never seen loses no epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from shared.events import Case, Priority, Target


class Course(NamedTuple):
    """One epoch of a target; `stop` is None while nothing has stopped it. `department`: whose `ola` it is."""

    epoch: int
    start: datetime
    stop: datetime | None
    department: str = ""


def courses_of(case: Case) -> Mapping[Target, Sequence[Course]]:
    """In order of their epochs; none for an update that nobody waits for.

    A resolution stops every clock. The first response stops at the first public reply. The resolution begins
    anew with each reopening, an update with each customer message after the first response, an ola with each
    transfer.
    """
    resolved = _resolutions(case)
    ends = [moment for moment in resolved if moment is not None]
    first = _first(case.first_reply_at, case.opened_at, ends)
    return {
        "first_response": (Course(0, case.opened_at, first),),
        "update": _updates(case, ends) if case.answered or case.first_reply_at else (),
        "resolution": [Course(epoch, case.opened_at, stop) for epoch, stop in enumerate(resolved)],
        "ola": _stays(case, ends),
    }


def priority_at(case: Case, stop: datetime | None) -> Priority:
    """What the case's priority was when a clock stopped; as it is now for one that runs."""
    if stop is not None:
        for former in case.formerly:
            if stop <= former.end:
                return former.priority
    return case.priority


def _resolutions(case: Case) -> list[datetime | None]:
    """When each epoch of the resolution stopped: every reopening ended one, at the resolution before it."""
    ends = [hold.start for hold in case.holds if hold.status == "resolved" and hold.end is not None]
    resolved: list[datetime | None] = [*ends[: case.reopened]]
    resolved += [None] * (case.reopened - len(resolved))
    is_over = case.status in ("resolved", "closed")
    resolved.append((case.resolved_at or case.closed_at or case.updated_at) if is_over else None)
    return resolved


def _updates(case: Case, resolved: Sequence[datetime]) -> list[Course]:
    """The first message that was answered is the first response's. No update begins before it is over."""
    first = case.answered - len(case.answers)
    courses, free = [], case.opened_at
    if not case.answered and case.first_reply_at:
        free = case.first_reply_at  # a case from before answers were counted
    for number, answer in enumerate(case.answers, first):
        if number:
            start = max(answer.start, free)
            courses.append(Course(number - 1, start, _first(answer.end, start, resolved)))
        free = max(free, answer.end)
    if case.unanswered_since is not None:
        start = max(case.unanswered_since, free)
        number = max(case.answered, 1)
        courses.append(Course(number - 1, start, _first(None, start, resolved)))
    return courses


def _stays(case: Case, resolved: Sequence[datetime]) -> list[Course]:
    """One for each department that the case was with, the present one last."""
    spans = [*((former.department, former.end) for former in case.formerly), (case.department, None)]
    courses: list[Course] = []
    start = case.opened_at
    for place, (department, end) in enumerate(spans):
        if end is not None and spans[place + 1][0] == department:
            continue  # only the priority changed
        courses.append(Course(len(courses), start, _first(end, start, resolved), department))
        start = end or start
    return courses


def _first(end: datetime | None, start: datetime, resolved: Sequence[datetime]) -> datetime | None:
    """The end, or a resolution between the start and it."""
    stops = [moment for moment in resolved if moment >= start]
    return min([*stops, end] if end is not None else stops, default=None)
