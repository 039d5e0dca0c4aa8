"""A case under another `sla` entry: each step fires once, no id is said twice (docs/domain.md 3.11)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.sla.domain.clock import ClockStep
from services.sla.store.documents import clock_document, clock_of
from shared.events import Case, EscalationRaised, Hold, Priority
from tests.support.sla import Watched, at, case, spoken

TWO = """
sla:
  - name: urgent
    when: "priority == 'P1'"
    targets: {resolution: {P1: 16h, P2: 16h, P3: 16h, P4: 16h}}
    escalate:
      resolution: [{at: 50%, do: notify_head}, {at: 75%, do: remind_owner}, {at: 100%, do: notify_supervisor}]
  - name: standard
    when: "true"
    targets: {resolution: {P1: 8h, P2: 18h, P3: 5bd, P4: 10bd}}
    escalate:
      resolution: [{at: 25%, do: remind_owner}, {at: 100%, do: notify_supervisor}]
"""

MANY = """
sla:
  - name: one
    when: "priority == 'P1'"
    targets: {resolution: {P1: 16h, P2: 16h, P3: 16h, P4: 16h}}
    escalate:
      resolution:
        - {at: 50%, do: notify_head, repeat: 2h, times: 3}
        - {at: 75%, do: [remind_owner, notify_supervisor]}
        - {before: 15h, do: remind_owner}
  - name: two
    when: "priority == 'P2'"
    targets: {resolution: {P1: 18h, P2: 18h, P3: 18h, P4: 18h}}
    escalate:
      resolution:
        - {at: 25%, do: notify, to: [wu, zhou]}
        - {before: 9h, do: notify_head}
        - {at: 75%, do: notify_head, repeat: 1h, times: 2}
        - {after: 1h, do: reassign}
  - name: three
    when: "priority == 'P3'"
    targets: {resolution: {P1: 3bd, P2: 3bd, P3: 3bd, P4: 3bd}}
    escalate:
      resolution:
        - {at: 30%, do: remind_owner, repeat: 3h, times: 4}
        - {at: 10%, do: notify, to: [zhou]}
        - {at: 20%, do: remind_owner}
  - name: four
    when: "true"
    targets: {first_response: {P1: 1h, P2: 1h, P3: 1h, P4: 1h}}
"""
"""Deeds that the entries share, in other places; one without a resolution."""
Deed = tuple[str, str, int]


def test_a_step_that_stands_in_the_place_of_one_that_fired_is_not_lost() -> None:
    watched = Watched(TWO)
    watched.sees(case())
    assert spoken(watched.until(at("mon 13:30"))) == ["resolution remind_owner"]
    watched.sees(case(2, priority="P1", updated_at=at("mon 14:30")))
    assert spoken(watched.until(at("mon 17:00"))) == ["resolution notify_head"]
    assert watched.until(at("tue 12:00")) == []  # the owner has been reminded
    assert spoken(watched.until(at("tue 16:00"))) == [
        "resolution target_breached", "resolution notify_supervisor",
    ]  # fmt: skip
    raised = [event for event in watched.said if isinstance(event, EscalationRaised)]
    assert [event.step for event in raised] == [0, 3, 2]  # 0 is said, and 1 is the reminder's
    assert len({event.id for event in raised}) == 3


def test_a_case_that_goes_back_to_its_entry_is_not_reminded_again() -> None:
    watched = Watched(TWO)
    watched.sees(case())
    watched.until(at("mon 13:30"))
    watched.sees(case(2, priority="P1"))
    watched.sees(case(3, priority="P2"))
    assert [(step.step, step.action) for step in watched.steps] == [
        (0, "remind_owner"), (1, "notify_supervisor"),
    ]  # fmt: skip
    assert spoken(watched.until(at("tue 18:00"))) == [
        "resolution target_breached", "resolution notify_supervisor",
    ]  # fmt: skip


def test_repetitions_stay_together_under_a_number_that_nothing_else_has() -> None:
    watched = Watched(MANY)
    watched.sees(case(priority="P2"))
    assert spoken(watched.until(at("mon 13:30"))) == ["resolution notify", "resolution notify"]
    watched.sees(case(2, priority="P1"))
    heads = [step for step in watched.steps if step.action == "notify_head"]
    assert [(step.step, step.repetition) for step in heads] == [(4, 0), (4, 1), (4, 2)]
    assert len({step.key for step in watched.steps}) == len(watched.steps)


def test_a_clock_of_before_that_lost_a_step_says_it_with_the_next_snapshot() -> None:
    """Its document has the fired step in the place of another one, as it was written then."""
    watched = Watched(TWO)
    clock = watched.sees(case(priority="P1"))
    resolution = clock.targets["resolution"]
    fired = ClockStep(0, "remind_owner", 16_200, 0, "", at("mon 13:30"), at("mon 13:30"))
    written = replace(resolution, steps=(fired, *resolution.steps[1:]))
    watched.clock = clock_of(clock_document(replace(clock, targets={"resolution": written})))
    watched.sees(case(2, priority="P1"))
    assert spoken(watched.until(at("mon 17:00"))) == ["resolution notify_head"]
    assert watched.until(at("tue 15:00")) == []


class Entry:
    """What a policy comes to for one priority, by a clock that has seen nothing else."""

    def __init__(self, watched: Watched) -> None:
        assert watched.clock is not None
        target = watched.clock.targets.get("resolution")
        self.steps = target.steps if target else ()

    def due(self, now: Any) -> Counter[Deed]:
        return Counter(step.deed for step in self.steps if step.at is not None and step.at <= now)


def moves() -> st.SearchStrategy[list[tuple[Priority, int, bool, int]]]:
    """A priority, minutes after the one before, whether the sweep comes, and minutes from there to it."""
    priorities: list[Priority] = ["P1", "P2", "P3", "P4"]
    one = st.tuples(st.sampled_from(priorities), st.integers(0, 900), st.booleans(), st.integers(0, 900))
    return st.lists(one, min_size=1, max_size=8)


@given(moves(), st.booleans())
@settings(deadline=None)
def test_whatever_entries_a_case_moves_through_what_is_due_by_the_one_in_force_fires_once(
    history: list[tuple[Priority, int, bool, int]], reopened: bool
) -> None:
    """Equal deeds are counted: as many have fired as the entries in force at a sweep had due at the most."""
    watched, now = Watched(MANY), at("mon 09:00")
    snapshot: Case = case(priority=history[0][0])
    fired: Counter[Deed] = Counter()
    for version, (priority, minutes, swept, wait) in enumerate(history, 1):
        now += timedelta(minutes=minutes)
        snapshot = replace(snapshot, version=version, priority=priority, updated_at=now)
        if reopened and version == 4:
            held = Hold(status="resolved", start=now - timedelta(minutes=minutes), end=now)
            snapshot = replace(snapshot, reopened=1, holds=(held,))
        watched.sees(snapshot)
        if not swept:
            continue
        now += timedelta(minutes=wait)
        entry = _in_force(watched, snapshot)
        raised = [event for event in watched.until(now) if isinstance(event, EscalationRaised)]
        resolution = [event for event in raised if event.target == "resolution"]
        wanted = Counter(fired)
        for deed, count in entry.due(now).items():
            wanted[deed] = max(wanted[deed], count)
        told = Counter(_deed(watched, event) for event in resolution)
        assert told == wanted - fired
        fired = wanted
    _no_id_says_two_things(watched)


def _in_force(watched: Watched, snapshot: Case) -> Entry:
    """A breached target keeps the promise that it had (docs/domain.md 3.12)."""
    alone = Watched(MANY)
    assert watched.clock is not None
    target = watched.clock.targets.get("resolution")
    if target is not None and target.breached:
        return Entry(watched)
    alone.sees(snapshot)
    return Entry(alone)


def _deed(watched: Watched, event: EscalationRaised) -> Deed:
    """By the clock: the event tells whom, the clock by which words of the policy."""
    assert watched.clock is not None
    steps = watched.clock.targets["resolution"].steps
    return next(step.deed for step in steps if step.key == (event.step, event.repetition) and step.fired_at)


def _no_id_says_two_things(watched: Watched) -> None:
    said: set[UUID] = set()
    for event in watched.said:
        assert event.id not in said
        said.add(event.id)
