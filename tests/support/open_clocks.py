"""Many open clocks, made directly: what the sla service has kept when a million cases are open."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple
from uuid import UUID

from services.sla.domain.clock import Clock, ClockStep, TargetClock, next_moment, open_dues
from services.sla.store.late import DUES, PRIORITIES, LateFilter
from shared.events import CaseLabels, EscalationAction, Target
from shared.ids import document_id, reference

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DEPARTMENTS, OWNERS = 40, 2_000
SPANS: dict[Target, dict[str, float]] = {
    "first_response": {"P1": 0.5, "P2": 2, "P3": 8, "P4": 24},
    "update": {"P1": 2, "P2": 8, "P3": 48, "P4": 120},
    "resolution": {"P1": 8, "P2": 48, "P3": 120, "P4": 240},
    "ola": {"P1": 4, "P2": 24, "P3": 60, "P4": 120},
}
"""Hours."""


def clocks(count: int, *, now: datetime = NOW, partitions: int = 12) -> Iterator[Clock]:
    """Open for up to 60 days; half without a first response, a third with a message that waits."""
    chance = random.Random(5)
    for number in range(count):
        opened = now - timedelta(days=60 * number / count, seconds=chance.random())
        yield _clock(chance, number, opened, partitions)


def _clock(chance: random.Random, number: int, opened: datetime, partitions: int) -> Clock:
    priority = chance.choices(PRIORITIES, (1, 2, 4, 3))[0]
    department = min(int(chance.expovariate(0.2)), DEPARTMENTS - 1)  # a few have most of the cases
    owner = f"agent-{int(OWNERS * chance.random() ** 1.2)}"  # of a million the busiest has 1,800
    wanted: list[Target] = ["resolution", "ola"]
    if chance.random() < 0.5:
        wanted.append("first_response")
    elif chance.random() < 0.6:
        wanted.append("update")
    targets = {name: _target(name, priority, opened) for name in wanted}
    identity = document_id(opened, UUID(int=number))
    return Clock(
        case_id=identity,
        reference=reference(identity),
        partition=number % partitions,
        case_version=2,
        version=1,
        epoch=0,
        status="assigned",
        labels=CaseLabels(
            department=f"department-{department}", priority=priority, category="logistics.damage",
            kind="complaint", channel="web", owner=owner, region="R1", tier="gold",
        ),
        policy_version="0123456789ab",
        changed_at=opened,
        sla="standard",
        next_at=next_moment(targets),
        open_dues=open_dues(targets),
        targets=targets,
    )  # fmt: skip


def _target(name: Target, priority: str, opened: datetime) -> TargetClock:
    hours = SPANS[name][priority]
    due = opened + timedelta(hours=hours)
    actions: tuple[EscalationAction, ...] = ("remind_owner", "notify_supervisor", "notify_head")
    steps = [
        ClockStep(place, action, int(3600 * hours), at=due + timedelta(days=70 * place))
        for place, action in enumerate(actions)
    ]
    return TargetClock(
        epoch=0, state="running", seconds=int(3600 * hours), calendar="always", started_at=opened,
        due_at=due, steps=tuple(steps),
    )  # fmt: skip


class Asked(NamedTuple):
    """One list as GET /v1/overdue asks the store."""

    label: str
    wanted: LateFilter


def lists(clock: Clock, deep: bool, limit: int, now: datetime = NOW) -> Iterator[Asked]:
    """Every filter alone and with every other, for each kind of due, with the values of one clock."""
    labels = clock.labels
    for due, *chosen in product(DUES, (False, True), (False, True), (False, True), (0, 2)):
        owner, priority, department, within = chosen
        moment = getattr(clock.open_dues, due)
        if deep and moment is None:
            continue
        named = {"owner": owner, "priority": priority, "department": department, "within": within}
        names = ", ".join(name for name, use in named.items() if use) or "all"
        yield Asked(
            f"{due}: {names}{', deep' if deep else ''}",
            LateFilter(
                until=now + timedelta(hours=within),
                due=due,
                owner=labels.owner if owner else None,
                priority=labels.priority if priority else None,
                departments=[labels.department] if department else None,
                after=(moment, clock.case_id) if deep else None,
                limit=limit,
            ),
        )
