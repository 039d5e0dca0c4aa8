"""Escalations: docs/domain.md 3.9 to 3.13."""

from __future__ import annotations

from datetime import timedelta

from services.sla.domain.clock import ClockStep
from services.sla.domain.escalation import Roster, fire
from services.sla.domain.said import labels_of
from shared.events import EscalationRaised, TargetBreached
from tests.support.sla import WHOLE, Watched, at, case, hold, policy, spoken

ONE_HOUR_BEFORE = """
sla:
  - name: only
    when: "true"
    calendar: long
    targets: {resolution: {P1: 4h, P2: 4h, P3: 4h, P4: 4h}}
    escalate:
      resolution:
        - {before: 1h, do: remind_owner}
        - {before: 30d, do: notify_supervisor}
        - {at: 125%, do: notify_head}
"""

NOTIFYING = """
  lin: {name: Lin, department: second, roles: [quality_manager]}
sla:
  - name: only
    when: "true"
    targets: {resolution: {P1: 1h, P2: 1h, P3: 1h, P4: 1h}}
    escalate:
      resolution:
        - {at: 50%, do: notify, to: [wu, "role:quality_manager", duty@example.org]}
        - {at: 100%, do: notify_head}
"""


def test_one_hour_before_is_an_hour_of_work_before() -> None:
    watched = Watched(ONE_HOUR_BEFORE)
    clock = watched.sees(case(opened_at=at("mon 17:00")))
    assert clock.targets["resolution"].due_at == at("tue 11:00")
    assert watched.steps[0].at == at("tue 10:00")


def test_a_step_before_the_start_is_taken_at_the_start_and_one_over_100_percent_after_the_due() -> None:
    watched = Watched(ONE_HOUR_BEFORE)
    watched.sees(case(opened_at=at("mon 17:00")))
    assert [step.at for step in watched.steps[1:]] == [at("mon 17:00"), at("tue 12:00")]


def test_each_step_fires_once_and_never_early() -> None:
    watched = Watched()
    watched.sees(case())
    assert watched.until(at("mon 10:30") - timedelta(milliseconds=1)) == []
    assert spoken(watched.until(at("mon 10:30"))) == ["first_response remind_owner"]
    assert watched.until(at("mon 10:59")) == []
    assert spoken(watched.until(at("mon 11:00"))) == [
        "first_response target_breached", "first_response notify_supervisor",
    ]  # fmt: skip
    assert watched.until(at("mon 11:00")) == []


def test_what_is_overdue_at_an_import_fires_once_and_in_order_the_breach_before_its_steps() -> None:
    watched = Watched()
    watched.sees(case(), now=at("fri 18:00", week=3))
    assert watched.said == []
    assert spoken(watched.until(at("fri 18:00", week=3))) == [
        "first_response remind_owner",
        "first_response target_breached",
        "first_response notify_supervisor",
        "resolution remind_owner",
        "resolution target_breached",
        "resolution notify_supervisor",
        "resolution raise_priority",
        "resolution reassign",
        "resolution notify_head",
        "resolution notify_head 1",
        "resolution notify_head 2",
    ]
    assert watched.clock is not None and watched.clock.next_at is None
    ids = [event.id for event in watched.said]
    assert len(set(ids)) == len(ids)


def test_a_repeated_step_ends_with_its_cap() -> None:
    watched = Watched()
    watched.sees(case())
    watched.until(at("fri 18:00", week=5))
    heads = [e for e in watched.said if isinstance(e, EscalationRaised) and e.action == "notify_head"]
    assert [e.repetition for e in heads] == [0, 1, 2]
    assert [e.step_at for e in heads] == [at("wed 18:00"), at("thu 18:00"), at("fri 18:00")]


def test_firing_again_says_the_same_ids() -> None:
    watched = Watched()
    clock = watched.sees(case())
    once = fire(clock, at("fri 18:00"), Roster(policy()))[1]
    again = fire(clock, at("fri 18:01"), Roster(policy()))[1]
    assert [event.id for event in once] == [event.id for event in again]


def test_an_acknowledgement_cancels_the_steps_of_the_first_response_but_not_its_breach() -> None:
    watched = Watched()
    watched.sees(case())
    watched.sees(case(2, status="acknowledged", acknowledged_at=at("mon 09:10")))
    assert spoken(watched.until(at("mon 12:00"))) == ["first_response target_breached"]


def test_an_acknowledgement_that_is_taken_back_arms_the_steps_again() -> None:
    watched = Watched()
    watched.sees(case(1, acknowledged_at=at("mon 09:10")))
    watched.sees(case(2))
    assert spoken(watched.until(at("mon 10:30"))) == ["first_response remind_owner"]


def test_a_resolution_or_a_merge_cancels_all_steps() -> None:
    for last in (case(2, status="resolved", resolved_at=at("mon 09:30")), case(2, status="merged")):
        watched = Watched()
        watched.sees(case())
        watched.sees(last)
        assert watched.until(at("fri 18:00", week=9)) == []
        assert all(step.cancelled for step in watched.steps)


def test_a_due_moved_into_the_future_arms_only_the_steps_that_had_not_fired() -> None:
    watched = Watched()
    watched.sees(case(priority="P1"))
    assert spoken(watched.until(at("mon 09:25"))) == ["first_response remind_owner"]
    watched.sees(case(2, priority="P2"))
    assert watched.until(at("mon 10:45")) == []
    assert spoken(watched.until(at("mon 11:00"))) == [
        "first_response target_breached", "first_response notify_supervisor",
    ]  # fmt: skip


def test_raising_the_priority_of_a_breached_case_does_not_hurry_its_chain() -> None:
    watched = Watched()
    watched.sees(case())
    watched.until(at("tue 18:00"))
    watched.sees(case(2, priority="P1"))
    assert watched.until(at("wed 10:59")) == []
    assert spoken(watched.until(at("wed 11:00"))) == ["resolution reassign"]


def test_the_chain_of_a_breached_case_waits_while_the_case_does() -> None:
    watched = Watched()
    watched.sees(case())
    watched.until(at("tue 18:00"))
    watched.sees(case(2, status="pending_customer", holds=(hold("wed 10:00"),)))
    assert watched.until(at("fri 12:00")) == []
    watched.sees(case(3, status="in_progress", holds=(hold("wed 10:00", "thu 12:00"),)))
    assert spoken(watched.until(at("thu 13:00"))) == ["resolution reassign"]


def test_recipients_are_those_of_the_policy_when_the_step_fires() -> None:
    watched = Watched()
    watched.sees(case(owner="chen"))
    watched.sees(case(2, owner="wu"))
    watched.until(at("fri 18:00", week=5))
    told = {e.action: e.recipient for e in watched.said if isinstance(e, EscalationRaised)}
    assert told == {
        "remind_owner": "wu", "notify_supervisor": "wu", "notify_head": "zhou", "raise_priority": "",
        "reassign": "",
    }  # fmt: skip


def test_nobody_to_notify_is_recorded_and_the_next_step_is_taken() -> None:
    watched = Watched()
    watched.sees(case(department="alone", owner=""))
    raised = [e for e in watched.until(at("fri 18:00")) if isinstance(e, EscalationRaised)]
    assert len(raised) == 9
    assert {event.recipient for event in raised} == {""}


def test_an_event_tells_when_it_was_due_and_for_whom() -> None:
    watched = Watched()
    watched.sees(case(4, category="logistics.damage"))
    breach = next(e for e in watched.until(at("mon 11:01")) if isinstance(e, TargetBreached))
    assert (breach.due_at, breach.at, breach.case_version) == (at("mon 11:00"), at("mon 11:01"), 4)
    assert breach.labels.category == "logistics.damage" and breach.labels.owner == "chen"


def test_moments_are_kept_to_the_millisecond_and_never_before_the_due() -> None:
    opened = at("mon 09:00") + timedelta(microseconds=1)
    clock = Watched().sees(case(opened_at=opened))
    assert clock.targets["first_response"].due_at == at("mon 11:00") + timedelta(milliseconds=1)


def test_notify_tells_a_person_a_role_or_an_address_each_as_a_step_of_its_own() -> None:
    watched = Watched(NOTIFYING)
    watched.sees(case())
    raised = [event for event in watched.until(at("mon 18:00")) if isinstance(event, EscalationRaised)]
    assert [(event.step, event.action, event.recipient) for event in raised] == [
        (0, "notify", "wu"), (1, "notify", "zhou"), (2, "notify", "duty@example.org"),
        (3, "notify_head", "zhou"),
    ]  # fmt: skip
    assert len({event.id for event in raised}) == 4


def test_a_role_is_whoever_has_it_when_the_step_fires_who_is_away_comes_last() -> None:
    step = ClockStep(0, "notify", 0, to="role:quality_manager")
    labels = labels_of(case())
    roster = Roster(policy(NOTIFYING))
    assert roster.recipient(step, labels, at("mon 10:00")) == "zhou"
    assert roster.recipient(step, labels, at("tue 10:00")) == "lin"  # zhou is away that day
    assert roster.recipient(ClockStep(0, "notify", 0, to="role:nobody"), labels, at("mon 10:00")) == ""
    assert roster.recipient(ClockStep(0, "notify", 0, to="gone"), labels, at("mon 10:00")) == ""


def test_update_steps_and_ola_steps_fire_like_all_others() -> None:
    watched = Watched(WHOLE)
    watched.sees(case(unanswered_since=at("mon 09:00")))
    assert spoken(watched.until(at("mon 11:00"))) == [
        "first_response target_breached", "first_response notify_supervisor", "ola remind_owner",
    ]  # fmt: skip
    assert spoken(watched.until(at("mon 13:00"))) == ["ola target_breached", "ola notify_head"]
    replied = {"first_reply_at": at("mon 10:00"), "answered": 1, "unanswered_since": at("mon 14:00")}
    watched.sees(case(2, **replied))
    assert spoken(watched.until(at("mon 16:00"))) == ["update remind_owner"]
