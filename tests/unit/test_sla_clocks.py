"""Clocks: docs/domain.md 3.5 to 3.9."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.sla.domain.following import follow
from services.sla.domain.pauses import business_seconds, moment_after, wall_seconds
from services.sla.domain.promise import Promises
from shared.events import Answer, Customer, Formerly, Hold, TargetFinished
from shared.policy import PolicyError
from tests.support.sla import STANDARD, WHOLE, Watched, at, case, hold, policy, spoken

OFFICE = policy().calendars["office"]


def test_pauses_keep_the_elapsed_time_and_the_due_lands_in_working_hours() -> None:
    paused = [hold("mon 10:00", "mon 17:30")]
    assert moment_after(OFFICE, at("mon 09:00"), 2 * 3600, paused) == at("tue 09:30")


def test_a_weekend_inside_a_pause_costs_nothing() -> None:
    paused = [Hold(status="pending_customer", start=at("fri 17:00"), end=at("mon 09:30", week=1))]
    assert moment_after(OFFICE, at("fri 16:00"), 2 * 3600, paused) == at("mon 10:30", week=1)
    assert business_seconds(OFFICE, at("fri 16:00"), at("mon 10:30", week=1), paused) == 2 * 3600
    assert wall_seconds(at("fri 16:00"), at("mon 10:30", week=1), paused) == 2 * 3600


def test_two_pauses_in_one_minute_both_count_to_the_microsecond() -> None:
    start = at("mon 10:00")
    spans = [(1_250_000, 2_500_000), (7_000_001, 9_000_002)]
    paused = [
        Hold(
            status="pending_customer",
            start=start + timedelta(microseconds=begin),
            end=start + timedelta(microseconds=end),
        )
        for begin, end in spans
    ]
    lost = timedelta(microseconds=sum(end - begin for begin, end in spans))
    due = moment_after(OFFICE, start, 60, paused)
    assert due is not None
    assert timedelta() <= due - (start + timedelta(seconds=60) + lost) < timedelta(milliseconds=1)


def test_overlapping_pauses_count_once() -> None:
    paused = [hold("mon 10:00", "mon 12:00"), hold("mon 11:00", "mon 13:00"), hold("mon 11:30", "mon 11:40")]
    assert moment_after(OFFICE, at("mon 09:00"), 2 * 3600, paused) == at("mon 14:00")
    assert business_seconds(OFFICE, at("mon 09:00"), at("mon 14:00"), paused) == 2 * 3600


def test_a_pause_that_begins_when_the_time_is_over_does_not_move_the_due() -> None:
    assert moment_after(OFFICE, at("mon 17:00"), 3600, [hold("mon 18:00", "tue 12:00")]) == at("mon 18:00")


def test_a_zero_target_is_due_at_the_next_working_moment_outside_the_pauses() -> None:
    assert moment_after(OFFICE, at("sat 12:00"), 0) == at("mon 09:00", week=1)
    paused = [Hold(status="pending_customer", start=at("sat 13:00"), end=at("mon 10:00", week=1))]
    assert moment_after(OFFICE, at("sat 12:00"), 0, paused) == at("mon 10:00", week=1)


def test_nothing_is_due_while_a_pause_is_in_progress() -> None:
    assert moment_after(OFFICE, at("mon 09:00"), 3600, [hold("mon 09:30")]) is None


def test_targets_start_when_the_case_was_opened() -> None:
    clock = Watched().sees(case())
    first, resolution = clock.targets["first_response"], clock.targets["resolution"]
    assert (first.started_at, first.due_at) == (at("mon 09:00"), at("mon 11:00"))
    assert (resolution.started_at, resolution.due_at) == (at("mon 09:00"), at("tue 18:00"))
    assert first.state == resolution.state == "running"
    assert clock.next_at == at("mon 10:30")


def test_a_hold_pauses_a_clock_and_its_end_lets_it_run_on() -> None:
    watched = Watched()
    watched.sees(case())
    waiting = watched.sees(case(2, status="pending_customer", holds=(hold("mon 10:00"),)))
    assert waiting.targets["resolution"].state == "paused"
    assert waiting.targets["resolution"].due_at is None and waiting.next_at is None
    running = watched.sees(case(3, status="in_progress", holds=(hold("mon 10:00", "wed 10:00"),)))
    assert running.targets["resolution"].state == "running"
    assert running.targets["resolution"].due_at == at("thu 18:00")
    assert running.targets["first_response"].due_at == at("wed 11:00")


def test_only_the_states_of_the_policy_pause() -> None:
    clock = Watched().sees(case(holds=(hold("mon 10:00", status="pending_internal"),)))
    assert clock.targets["resolution"].due_at == at("tue 18:00")


def test_a_change_of_priority_recomputes_from_the_original_start_less_the_pauses() -> None:
    watched = Watched()
    watched.sees(case())
    clock = watched.sees(case(2, priority="P3", holds=(hold("mon 10:00", "mon 11:00"),)), at("tue 12:00"))
    assert clock.targets["first_response"].due_at == at("mon 18:00")
    assert clock.targets["resolution"].started_at == at("mon 09:00")
    assert clock.targets["resolution"].due_at == at("mon 10:00", week=1)


def test_a_pause_in_progress_survives_a_change_of_priority() -> None:
    watched = Watched()
    watched.sees(case(holds=(hold("mon 10:00"),)))
    clock = watched.sees(case(2, priority="P1", holds=(hold("mon 10:00"),)))
    assert clock.targets["resolution"].state == "paused"
    clock = watched.sees(case(3, priority="P1", holds=(hold("mon 10:00", "tue 09:00"),)))
    assert clock.targets["resolution"].due_at == at("tue 16:00")


def test_the_first_public_reply_finishes_the_first_response() -> None:
    watched = Watched()
    watched.sees(case())
    clock = watched.sees(case(2, status="in_progress", first_reply_at=at("mon 10:00")))
    first = clock.targets["first_response"]
    assert (first.state, first.finished_at) == ("met", at("mon 10:00"))
    assert (first.business_seconds, first.wall_seconds) == (3600, 3600)
    assert spoken(watched.said) == ["first_response target_finished"]
    assert clock.targets["resolution"].state == "running"


def test_a_reply_at_the_very_moment_of_the_due_is_in_time_and_one_after_it_is_not() -> None:
    in_time, late = Watched(), Watched()
    in_time.sees(case(first_reply_at=at("mon 11:00")))
    late.sees(case(first_reply_at=at("mon 11:00") + timedelta(seconds=1)))
    assert in_time.clock is not None and in_time.clock.targets["first_response"].state == "met"
    assert late.clock is not None and late.clock.targets["first_response"].state == "breached"
    assert spoken(late.said) == ["first_response target_breached", "first_response target_finished"]


def test_figures_are_net_of_holds() -> None:
    watched = Watched()
    watched.sees(case(
        9, status="resolved", first_reply_at=at("mon 10:00"), resolved_at=at("wed 12:00"),
        holds=(hold("mon 12:00", "tue 12:00"),),
    ))  # fmt: skip
    finished = next(e for e in watched.said if isinstance(e, TargetFinished) and e.target == "resolution")
    assert finished.business_seconds == (3 + 6 + 3) * 3600
    assert finished.wall_seconds == (51 - 24) * 3600
    assert finished.verdict == "met"


def test_a_resolution_stops_every_clock() -> None:
    watched = Watched()
    clock = watched.sees(case(2, status="resolved", resolved_at=at("mon 10:00")))
    assert [target.state for target in clock.targets.values()] == ["met", "met"]
    assert clock.next_at is None and clock.open_dues is None


@pytest.mark.parametrize("status", ["merged", "cancelled"])
def test_merge_and_cancel_stop_the_clocks_without_a_verdict(status: str) -> None:
    watched = Watched()
    watched.sees(case())
    clock = watched.sees(case(2, status=status))
    assert [target.state for target in clock.targets.values()] == ["cancelled", "cancelled"]
    assert watched.said == [] and clock.next_at is None


def test_what_was_finished_before_a_merge_keeps_its_verdict() -> None:
    watched = Watched()
    clock = watched.sees(case(5, status="merged", first_reply_at=at("mon 10:00")))
    assert clock.targets["first_response"].state == "met"
    assert clock.targets["resolution"].state == "cancelled"


def test_reopened_the_time_between_is_hold_and_the_verdict_before_stays() -> None:
    watched = Watched()
    watched.sees(case(2, status="resolved", first_reply_at=at("mon 10:00"), resolved_at=at("mon 12:00")))
    reopened = watched.sees(case(
        3, status="reopened", first_reply_at=at("mon 10:00"), reopened=1,
        holds=(hold("mon 12:00", "wed 12:00", "resolved"),),
    ))  # fmt: skip
    resolution = reopened.targets["resolution"]
    assert (resolution.epoch, resolution.state, resolution.due_at) == (1, "running", at("thu 18:00"))
    assert [(j.target, j.epoch, j.verdict) for j in reopened.earlier] == [("resolution", 0, "met")]
    assert reopened.targets["first_response"].finished_at == at("mon 10:00")
    watched.sees(case(
        4, status="resolved", first_reply_at=at("mon 10:00"), reopened=1, resolved_at=at("fri 09:00"),
        holds=(hold("mon 12:00", "wed 12:00", "resolved"),),
    ))  # fmt: skip
    verdicts = [(e.target, e.epoch, e.verdict) for e in watched.said if isinstance(e, TargetFinished)]
    assert verdicts == [
        ("first_response", 0, "met"), ("resolution", 0, "met"), ("resolution", 1, "breached"),
    ]  # fmt: skip
    assert len({event.id for event in watched.said}) == len(watched.said)


def test_a_case_breached_before_it_was_reopened_is_not_said_to_be_breached_again() -> None:
    watched = Watched()
    watched.sees(case())
    watched.until(at("wed 09:00"))
    watched.sees(case(2, status="resolved", resolved_at=at("wed 10:00")))
    watched.sees(case(3, status="reopened", reopened=1, holds=(hold("wed 10:00", "thu 09:00", "resolved"),)))
    assert watched.until(at("thu 09:30")) == []
    assert watched.clock is not None and watched.clock.targets["resolution"].state == "breached"
    assert spoken(watched.until(at("thu 10:00"))) == ["resolution reassign"]


def test_a_snapshot_that_was_never_seen_loses_no_event() -> None:
    gap = Watched()
    gap.sees(case(
        7, status="resolved", first_reply_at=at("mon 12:00"), reopened=1, resolved_at=at("thu 12:00"),
        holds=(hold("mon 15:00", "wed 12:00", "resolved"),),
    ))  # fmt: skip
    assert spoken(gap.said) == [
        "first_response target_breached", "first_response target_finished",
        "resolution target_finished", "resolution target_finished",
    ]  # fmt: skip


def test_a_breached_target_keeps_its_promise_when_the_priority_falls() -> None:
    watched = Watched()
    watched.sees(case(priority="P1"))
    watched.until(at("mon 09:30"))
    clock = watched.sees(case(2, priority="P4"))
    assert clock.targets["first_response"].state == "breached"
    assert clock.targets["first_response"].due_at == at("mon 09:30")
    watched.sees(case(3, priority="P4", first_reply_at=at("mon 10:00")))
    assert watched.clock is not None and watched.clock.targets["first_response"].state == "breached"


def test_a_reply_in_time_that_came_late_to_us_is_met_although_the_breach_was_said() -> None:
    watched = Watched()
    watched.sees(case())
    watched.until(at("mon 11:00"))
    clock = watched.sees(case(2, first_reply_at=at("mon 10:59")))
    assert clock.targets["first_response"].state == "met"


def test_a_priority_or_department_without_a_promise_has_no_clock() -> None:
    assert Watched(sla="").sees(case()).targets == {}
    assert Watched().sees(case(department="unknown")).targets == {}


def test_a_clock_that_is_no_longer_promised_stops_and_runs_again_when_it_is() -> None:
    watched = Watched()
    watched.sees(case())
    clock = watched.sees(case(2, department="unknown"))
    assert {target.state for target in clock.targets.values()} == {"cancelled"} and clock.next_at is None
    clock = watched.sees(case(3))
    assert clock.targets["resolution"].due_at == at("tue 18:00")
    assert clock.targets["resolution"].state == "running"


def test_the_first_entry_that_fits_promises_and_its_calendar_wins_over_the_departments() -> None:
    sla = """
sla:
  - name: vip
    when: "customer.tier == 'vip'"
    calendar: always
    targets: {resolution: {P1: 1h, P2: 2h, P3: 3h, P4: 4h}}
  - {name: rest, when: "true", targets: {resolution: {P1: 1h, P2: 1bd, P3: 3h, P4: 0s}}}
"""
    promises = Promises(policy(sla))
    assert promises.to(case()).sla == "rest" and promises.to(case()).calendar == "office"
    rest = promises.to(case()).target("resolution", "P2")
    assert rest is not None and rest.seconds == 9 * 3600
    vip = promises.to(case(customer=Customer(tier="vip")))
    assert (vip.sla, vip.calendar) == ("vip", "always")
    assert Watched(sla).sees(case(priority="P4")).targets["resolution"].due_at == at("mon 09:00")


def answered(*spans: tuple[str, str]) -> tuple[Answer, ...]:
    return tuple(Answer(start=at(start), end=at(end)) for start, end in spans)


REPLIED = {"first_reply_at": at("mon 10:00"), "status": "in_progress"}


def test_there_is_no_update_clock_before_the_first_response() -> None:
    clock = Watched(WHOLE).sees(case(unanswered_since=at("mon 09:00")))
    assert "update" not in clock.targets
    clock = Watched(WHOLE).sees(case(answers=answered(("mon 09:00", "mon 10:00")), answered=1, **REPLIED))
    assert "update" not in clock.targets


def test_an_update_starts_at_the_oldest_unanswered_message_and_stops_at_the_reply() -> None:
    watched = Watched(WHOLE)
    first = answered(("mon 09:00", "mon 10:00"))
    asked = watched.sees(case(3, answers=first, answered=1, unanswered_since=at("mon 11:00"), **REPLIED))
    update = asked.targets["update"]
    assert (update.epoch, update.state, update.due_at) == (0, "running", at("mon 14:00"))
    both = (*first, *answered(("mon 11:00", "mon 13:30")))
    told = watched.sees(case(4, answers=both, answered=2, **REPLIED))
    assert told.targets["update"].state == "met"
    assert told.targets["update"].business_seconds == 2.5 * 3600
    again = watched.sees(case(5, answers=both, answered=2, unanswered_since=at("tue 09:00"), **REPLIED))
    assert (again.targets["update"].epoch, again.targets["update"].due_at) == (1, at("tue 12:00"))
    assert [(one.target, one.epoch, one.verdict) for one in again.earlier] == [("update", 0, "met")]


def test_a_resolution_stops_an_update_and_an_ola_too() -> None:
    watched = Watched(WHOLE)
    both = answered(("mon 09:00", "mon 10:00"), ("mon 11:00", "mon 12:00"))
    clock = watched.sees(case(
        5, answers=both, answered=2, first_reply_at=at("mon 10:00"), status="resolved",
        resolved_at=at("mon 12:00"),
    ))  # fmt: skip
    assert {name: target.state for name, target in clock.targets.items()} == {
        "first_response": "met", "update": "met", "resolution": "met", "ola": "met",
    }  # fmt: skip


def test_each_department_has_an_ola_of_its_own_and_a_transfer_ends_it() -> None:
    watched = Watched(WHOLE)
    watched.sees(case())
    moved_on = Formerly(department="service", priority="P2", end=at("mon 15:00"))
    clock = watched.sees(case(2, department="second", formerly=(moved_on,)))
    assert (clock.targets["ola"].epoch, clock.targets["ola"].department) == (1, "second")
    assert (clock.targets["ola"].started_at, clock.targets["ola"].due_at) == (
        at("mon 15:00"),
        at("tue 10:00"),
    )
    finished = [event for event in watched.said if isinstance(event, TargetFinished)]
    assert [(e.target, e.epoch, e.verdict, e.labels.department) for e in finished] == [
        ("ola", 0, "breached", "service"),
    ]  # fmt: skip
    assert clock.targets["resolution"].started_at == at("mon 09:00")


def test_a_department_without_an_ola_owes_none() -> None:
    assert "ola" not in Watched(WHOLE).sees(case(department="alone")).targets


def test_a_transfer_changes_the_promise_but_not_its_start() -> None:
    """The policy's entry is looked up for the new department; the clock counts from the original start."""
    sla = """
sla:
  - {name: slow, when: "department == 'second'", targets: {resolution: {P1: 1bd, P2: 9bd, P3: 9bd, P4: 9bd}}}
  - {name: rest, when: "true", targets: {resolution: {P1: 1h, P2: 1bd, P3: 3h, P4: 4h}}}
"""
    watched = Watched(sla)
    assert watched.sees(case()).targets["resolution"].due_at == at("mon 18:00")
    clock = watched.sees(case(2, department="second"))
    assert clock.sla == "slow" and clock.targets["resolution"].due_at == at("thu 18:00", week=1)


def test_a_change_of_category_takes_the_entry_of_the_new_one() -> None:
    sla = """
sla:
  - {name: damage, when: "category == 'damage'", targets: {resolution: {P1: 1h, P2: 1h, P3: 1h, P4: 1h}}}
  - {name: rest, when: "true", targets: {resolution: {P1: 1h, P2: 1bd, P3: 3h, P4: 4h}}}
"""
    watched = Watched("categories: {damage: {}, other: {}}" + sla)
    watched.sees(case())
    clock = watched.sees(case(2, category="damage"))
    assert clock.sla == "damage" and clock.targets["resolution"].due_at == at("mon 10:00")


def test_a_new_policy_counts_from_the_original_start_when_the_clock_is_next_computed() -> None:
    """docs/domain.md 3.6 and 3.12: until then the chain in flight keeps the version it began with."""
    promises = Promises(policy(WHOLE))
    before, _ = follow(None, case(), 3, promises, at("mon 09:00"))
    promises.renew(policy(WHOLE.replace("P2: 2bd", "P2: 1bd")))
    assert before.targets["resolution"].due_at == at("tue 18:00")
    same, _ = follow(before, case(2, owner="wu"), 3, promises, at("mon 12:00"))
    assert same.targets["resolution"].due_at == at("mon 18:00")
    assert same.targets["resolution"].started_at == at("mon 09:00")
    assert same.policy_version != before.policy_version


def test_a_case_of_a_policy_version_that_is_not_known_here_is_promised_by_the_one_in_force() -> None:
    clock = Watched().sees(case(policy_version="0123456789ab"))
    assert clock.policy_version == policy().version and clock.targets["resolution"].due_at == at("tue 18:00")


def test_a_case_whose_opening_was_never_seen_has_all_its_clocks() -> None:
    clock = Watched().sees(case(9, holds=(hold("mon 10:00", "mon 11:00"),)))
    assert clock.targets["resolution"].due_at == at("wed 10:00")
    assert clock.case_version == 9 and clock.version == 1


def test_a_target_of_the_longest_span_that_a_policy_may_say_has_a_due() -> None:
    sla = STANDARD.replace("P4: 10bd", "P4: 366bd")
    due = Watched(sla).sees(case(priority="P4")).targets["resolution"].due_at
    assert due == at("fri 18:00") + timedelta(weeks=73) - timedelta(days=4)
    with pytest.raises(PolicyError, match="at most 366 days"):
        policy(STANDARD.replace("P4: 10bd", "P4: 3660bd"))
