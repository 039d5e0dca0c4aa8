"""The clock beside a naive replay of its case's history, in any order of arrival (docs/domain.md 3.5-3.9)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from services.routing.domain.case_file import CaseFile, advance
from shared.events import Case, Change, Hold
from tests.support.naive_clock import NaiveCase, moment
from tests.support.sla import WHOLE, Watched, case

MINUTES = st.one_of(st.integers(1, 60), st.integers(1, 1500))


def ended(before: Case, now: datetime) -> tuple[Hold, ...]:
    return tuple(hold if hold.end else replace(hold, end=now) for hold in before.holds)


def changes(before: Case, action: str, value: str, now: datetime) -> dict[str, Any]:
    """What routing changes of a case."""
    match action:
        case "reply":
            return {"first_reply_at": before.first_reply_at or now, "unanswered_since": None}
        case "message":
            return {
                "unanswered_since": before.unanswered_since or now,
                "status": "in_progress",
                "holds": ended(before, now),
            }
        case "hold":
            held = Hold(status="pending_customer", start=now)
            return {"status": "pending_customer", "holds": (*before.holds, held)}
        case "resume":
            return {"status": "in_progress", "holds": ended(before, now)}
        case "prioritise":
            return {"priority": value}
        case "transfer":
            return {"status": "new", "department": value, "holds": ended(before, now)}
        case "resolve":
            return {"status": "resolved", "resolved_at": now, "holds": ended(before, now)}
        case "reopen":
            holds = (*before.holds, Hold(status="resolved", start=before.resolved_at, end=now))
            return {"status": "reopened", "resolved_at": None, "reopened": before.reopened + 1,
                    "holds": holds, "unanswered_since": before.unanswered_since or now}  # fmt: skip
        case "merge":
            return {"status": "merged", "holds": ended(before, now)}
    raise AssertionError(action)


class AClock(RuleBasedStateMachine):
    """What routing says of a case, in any order and number; sweeps come when all that was said is known."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        opened = case(opened_at=moment(0), updated_at=moment(0), unanswered_since=moment(0))
        self.file = CaseFile(opened)
        self.told, self.heard = [opened], 0
        self.naive, self.watched = NaiveCase(), Watched(WHOLE)
        self.watched.sees(opened)
        self.heard = 1

    @property
    def is_open(self) -> bool:
        return self.file.case.status not in ("resolved", "merged")

    def _do(self, action: str, minutes: int, value: str = "") -> None:
        self.now += minutes
        at = moment(self.now)
        change = Change(type="noted", actor="test", at=at)
        self.file = advance(self.file, change, **changes(self.file.case, action, value, at)).file
        self.told.append(self.file.case)
        self.naive.happens(action, self.now, value)

    @precondition(lambda self: self.is_open)
    @rule(minutes=MINUTES, action=st.sampled_from(["reply", "message", "resolve"]))
    def somebody_acts(self, minutes: int, action: str) -> None:
        self._do(action, minutes)

    @precondition(lambda self: self.is_open)
    @rule(minutes=MINUTES)
    def it_waits_or_goes_on(self, minutes: int) -> None:
        self._do("resume" if self.file.case.status == "pending_customer" else "hold", minutes)

    @precondition(lambda self: self.is_open)
    @rule(minutes=MINUTES, priority=st.sampled_from(["P1", "P2", "P3", "P4"]))
    def it_is_judged_anew(self, minutes: int, priority: str) -> None:
        if priority != self.file.case.priority:
            self._do("prioritise", minutes, priority)

    @precondition(lambda self: self.is_open)
    @rule(minutes=MINUTES)
    def it_is_handed_over(self, minutes: int) -> None:
        self._do("transfer", minutes, "second" if self.file.case.department == "service" else "service")

    @precondition(lambda self: self.file.case.status == "resolved")
    @rule(minutes=MINUTES)
    def it_comes_back(self, minutes: int) -> None:
        self._do("reopen", minutes)

    @precondition(lambda self: self.is_open and len(self.told) > 4)
    @rule(minutes=MINUTES)
    def it_is_merged(self, minutes: int) -> None:
        self._do("merge", minutes)

    @rule(which=st.integers(0, 100))
    def a_version_arrives(self, which: int) -> None:
        """Any that was told: again, late, or before others."""
        snapshot = self.told[which % len(self.told)]
        self.watched.sees(snapshot, moment(self.now))
        self.heard = max(self.heard, snapshot.version)

    @rule(minutes=st.integers(0, 600))
    def time_is_looked_at(self, minutes: int) -> None:
        self._hear_all()
        self.now += minutes
        self.watched.until(moment(self.now))
        self.naive.sweep(self.now)

    def _hear_all(self) -> None:
        self.watched.sees(self.told[-1], moment(self.now))
        self.heard = self.told[-1].version

    def teardown(self) -> None:
        self._hear_all()
        assert self._seen() == self.naive.judged()
        alone = Watched(WHOLE)
        alone.sees(self.told[-1], moment(self.now))
        assert alone.clock is not None and self.watched.clock is not None
        said = any(epoch.said for epochs in self.naive.epochs.values() for epoch in epochs)
        targets = self.watched.clock.targets
        fired = any(step.fired_at for target in targets.values() for step in target.steps)
        if not said and not fired:  # what was said stays said, and the last version alone has said nothing
            assert alone.clock.targets == targets

    def _seen(self) -> dict[tuple[str, int], tuple[str, int | None, int | None]]:
        clock = self.watched.clock
        assert clock is not None
        found: dict[tuple[str, int], tuple[str, int | None, int | None]] = {}
        for one in clock.earlier:
            found[one.target, one.epoch] = (one.verdict, _minute(one.due_at), one.business_seconds // 60)
        for name, target in clock.targets.items():
            if target.state == "cancelled":
                found[name, target.epoch] = ("cancelled", None, None)
                continue
            spent = target.business_seconds
            found[name, target.epoch] = (
                target.state, _minute(target.due_at), None if spent is None else spent // 60,
            )  # fmt: skip
        return found


def _minute(at: datetime | None) -> int | None:
    return None if at is None else int((at - moment(0)).total_seconds()) // 60


TestAClock = AClock.TestCase
TestAClock.settings = settings(
    max_examples=60, stateful_step_count=18, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
