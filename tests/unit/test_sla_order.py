"""The clock is a function of the newest snapshot: gaps, repetitions and disorder change nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.events import Case, EscalationRaised, Hold, TargetBreached
from tests.support.sla import Watched, at, case

ACTIONS = ("acknowledge", "reply", "hold", "resume", "prioritise", "resolve", "reopen", "close", "merge")


def _done(before: Case, action: str, now: datetime) -> dict[str, Any] | None:
    """What routing would change; None where it refuses. A priority changes before anything is judged only."""
    if before.status == "merged":
        return None
    if before.status in ("resolved", "closed"):
        return _done_when_over(before, action, now)
    ended = tuple(held if held.end else replace(held, end=now) for held in before.holds)
    acknowledged_at = before.acknowledged_at or now
    match action:
        case "acknowledge":
            return {"acknowledged_at": acknowledged_at}
        case "reply":
            return {"first_reply_at": before.first_reply_at or now, "acknowledged_at": acknowledged_at}
        case "hold" if before.status != "pending_customer":
            held = Hold(status="pending_customer", start=now)
            return {"status": "pending_customer", "holds": (*before.holds, held)}
        case "resume" if before.status == "pending_customer":
            return {"status": "in_progress", "holds": ended}
        case "prioritise" if before.first_reply_at is None and not before.reopened:
            return {"priority": {"P1": "P3", "P3": "P2", "P2": "P1"}[before.priority]}
        case "resolve":
            return {"status": "resolved", "resolved_at": now, "holds": ended}
        case "merge":
            return {"status": "merged", "holds": ended}
    return None


def _done_when_over(before: Case, action: str, now: datetime) -> dict[str, Any] | None:
    if action == "close" and before.status == "resolved":
        return {"status": "closed", "closed_at": now}
    if action == "reopen":
        assert before.resolved_at is not None
        holds = (*before.holds, Hold(status="resolved", start=before.resolved_at, end=now))
        return {"status": "reopened", "resolved_at": None, "reopened": before.reopened + 1, "holds": holds}
    return None


@st.composite
def histories(draw: st.DrawFn, actions: tuple[str, ...] = ACTIONS) -> list[Case]:
    """Snapshots of one case, version by version."""
    snapshots, now = [case()], at("mon 09:00")
    for action in draw(st.lists(st.sampled_from(actions), max_size=12)):
        now += timedelta(seconds=draw(st.integers(0, 90_000)))
        changed = _done(snapshots[-1], action, now)
        if changed is not None:
            version = snapshots[-1].version + 1
            snapshots.append(replace(snapshots[-1], version=version, updated_at=now, **changed))
    return snapshots


def _end(watched: Watched) -> Any:
    """The state, without what counts the writes."""
    assert watched.clock is not None
    return replace(watched.clock, version=0, changed_at=at("mon 00:00"))


def _steps(watched: Watched) -> list[tuple[str, int, int]]:
    """What fired, whatever the epoch: a step that fired before a reopening does not fire after it."""
    raised = [event for event in watched.said if isinstance(event, EscalationRaised)]
    return [(event.target, event.step, event.repetition) for event in raised]


def _verdicts(watched: Watched) -> set[Any]:
    return {event.id for event in watched.said if not isinstance(event, EscalationRaised)}


@given(histories(), st.data())
def test_any_order_and_repetition_of_the_versions_ends_in_the_same_clock_and_verdicts(
    history: list[Case], data: st.DataObject
) -> None:
    straight, crooked = Watched(), Watched()
    for snapshot in history:
        straight.sees(snapshot)
    arrivals = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=5))))
    for snapshot in arrivals:
        crooked.sees(snapshot)
    assert _end(crooked) == _end(straight)
    assert _verdicts(crooked) == _verdicts(straight)
    assert len(crooked.said) == len(_verdicts(crooked))


@given(histories())
def test_the_last_version_alone_says_all_that_the_others_would_have_said(history: list[Case]) -> None:
    straight, alone = Watched(), Watched()
    for snapshot in history:
        straight.sees(snapshot)
    alone.sees(history[-1])
    assert _end(alone) == _end(straight)
    assert _verdicts(alone) == _verdicts(straight)


@given(histories(tuple(a for a in ACTIONS if a not in ("prioritise", "merge"))), st.data())
def test_when_the_sweep_comes_decides_no_verdict_and_fires_nothing_twice(
    history: list[Case], data: st.DataObject
) -> None:
    swept, left = Watched(), Watched()
    end = history[-1].updated_at + timedelta(days=60)
    for number, snapshot in enumerate(history):
        swept.sees(snapshot)
        left.sees(snapshot)
        following = history[number + 1].updated_at if number + 1 < len(history) else end
        span = int((following - snapshot.updated_at).total_seconds())
        for seconds in sorted(data.draw(st.lists(st.integers(0, span), max_size=3))):
            swept.until(snapshot.updated_at + timedelta(seconds=seconds))
    swept.until(end)
    left.until(end)
    assert _verdicts(swept) == _verdicts(left)
    assert len(set(_steps(swept))) == len(_steps(swept)) and len(set(_steps(left))) == len(_steps(left))
    assert set(_steps(left)) <= set(_steps(swept))


@given(histories(), st.integers(0, 40 * 86_400))
def test_nothing_is_said_before_its_time(history: list[Case], seconds: int) -> None:
    watched = Watched()
    for snapshot in history:
        watched.sees(snapshot)
    now = history[-1].updated_at + timedelta(seconds=seconds)
    for event in watched.until(now):
        assert (event.due_at if isinstance(event, TargetBreached) else event.step_at) <= now  # type: ignore[attr-defined]
    assert watched.clock is not None
    assert watched.clock.next_at is None or watched.clock.next_at > now
