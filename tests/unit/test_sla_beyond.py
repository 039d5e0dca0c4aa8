"""Steps that lie beyond the years of a calendar: the case goes on without them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from services.sla import handlers
from services.sla.domain.clock import Clock
from services.sla.domain.promise import Promises
from services.sla.store import Changes
from shared.events import Case, CaseChanged, Change
from shared.handler import Batch, Cause, Decision, Partition, Received
from shared.policy import check_times
from tests.support.sla import CASE, Watched, at, case, policy, spoken

SLA = """
sla:
  - name: far
    when: "true"
    targets: {resolution: {P1: 8h, P2: 8h, P3: 8h, P4: 8h}}
    escalate:
      resolution:
        - {at: 100%, do: notify_supervisor}
        - {after: 366d, do: notify_head, repeat: 366d, times: 100}
"""
CAUSE = Cause(Partition("cqm.cases.v1", 0))


@pytest.fixture(autouse=True)
def any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy of an earlier version may say what is refused today; near the calendar's end any may."""
    monkeypatch.setattr(check_times, "MOST_YEARS", 1000)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    said: list[tuple[str, str, str]] = []

    def warning(event: str, sla: str, target: str, **_: Any) -> None:
        said.append((event, sla, target))

    monkeypatch.setattr(handlers.log, "warning", warning, raising=False)
    return said


def decided(promises: Promises, *cases: Case) -> Decision[Changes]:
    change = Change(type="opened", actor="routing", at=at("mon 09:00"))
    records = [
        Received(CaseChanged(id=one.id, case=one, change=change), CAUSE, offset)
        for offset, one in enumerate(cases)
    ]
    clocks: dict[UUID, Clock] = {}
    return handlers._decide(promises, Batch(records, at("mon 09:00")), clocks)


def test_a_step_beyond_the_calendar_is_left_out_and_told_once(told: list[tuple[str, str, str]]) -> None:
    """It refused the case; fifty of those in a row stopped the partition."""
    promises = Promises(policy(SLA))
    cases = [case(id=UUID(int=number)) for number in range(60)]
    for some in (cases, cases[:1]):
        decision = decided(promises, *some)
        assert decision.refused == []
    steps = decision.changes.new[0].targets["resolution"].steps
    assert 10 < len(steps) < 101 and all(step.at is not None for step in steps)
    assert [step.repetition for step in steps[1:]] == list(range(len(steps) - 1))
    assert told == [("step_beyond_the_calendar", "far", "resolution")]


def test_another_policy_is_told_of_anew(told: list[tuple[str, str, str]]) -> None:
    promises = Promises(policy(SLA))
    decided(promises, case())
    promises.renew(policy(SLA.replace("P1: 8h", "P1: 7h")))
    decided(promises, case())
    assert len(told) == 2


def test_a_due_beyond_the_calendar_is_still_none(told: list[tuple[str, str, str]]) -> None:
    decision = decided(Promises(policy(SLA)), case(opened_at=datetime(2200, 12, 31, 12, tzinfo=UTC)))
    (refusal,) = decision.refused
    assert refusal.error.reason == "no_due" and told == []


def test_a_breached_case_goes_on_without_the_steps_that_a_pause_has_moved_beyond_the_calendar() -> None:
    watched = Watched(SLA)
    clock = watched.sees(case())
    watched.until(at("tue 09:00"))
    assert watched.clock is not None
    target = watched.clock.targets["resolution"]
    last = replace(target.steps[-1], seconds=200 * target.steps[-1].seconds)
    watched.clock = replace(
        watched.clock, targets={"resolution": replace(target, steps=(*target.steps[:-1], last))}
    )
    after = watched.sees(case(2)).targets["resolution"]
    assert after.steps[-1].cancelled and after.steps[-1].at is None
    assert after.steps[1:-1] == clock.targets["resolution"].steps[1:-1]


def test_what_is_within_the_calendar_fires() -> None:
    watched = Watched(SLA)
    watched.sees(case())
    assert spoken(watched.until(at("tue 09:00"))) == [
        "resolution target_breached", "resolution notify_supervisor",
    ]  # fmt: skip
    assert watched.clock is not None and watched.clock.case_id == CASE and watched.clock.next_at is not None
