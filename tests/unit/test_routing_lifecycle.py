"""What people may do with a case, and what it leaves behind (docs/domain.md 1), as sentences."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args
from uuid import uuid4

import msgspec
import pytest

from services.routing.domain.action_types import (
    Acknowledge,
    ActionName,
    AnyAction,
    Assign,
    Cancel,
    Close,
    CustomerMessage,
    HoldFor,
    Merge,
    Note,
    Prioritise,
    Reopen,
    Reply,
    Resolve,
    Resume,
    Start,
    Transfer,
    name_of,
)
from services.routing.domain.case_file import Books, CaseFile, entry_hash
from services.routing.domain.escalation import obey, remember
from services.routing.domain.lifecycle import (
    LEGAL,
    Evidence,
    Illegal,
    act,
    check,
    close_silent,
    unacknowledged,
)
from services.routing.domain.merging import merge
from shared import ids
from shared.events import CaseLabels, EscalationAction, EscalationRaised, Hold, Status
from tests.support.cases import NOW, POLICY, case_file

LATER = NOW + timedelta(minutes=5)
EVERY_ACTION: tuple[AnyAction, ...] = (
    Acknowledge(), Start(), Reply("x"), CustomerMessage("x"), Note("x"), HoldFor("customer", "x"), Resume(),
    Transfer("service", "x"), Prioritise("x", severity="critical"), Resolve("x", "carrier"), Reopen("x"),
    Cancel("x"), Close(),
)  # fmt: skip
NEED_MORE: tuple[AnyAction, ...] = (Assign("chen"), Merge("7KQ2-9FMD-4TXA"))
"""What a pool and another case decide, too."""


def done(file: CaseFile, *actions: AnyAction) -> CaseFile:
    for action in actions:
        file = act(file, action, actor="chen", at=LATER, policy=POLICY).file
    return file


def test_there_is_a_sample_of_every_action() -> None:
    assert {name_of(action) for action in (*EVERY_ACTION, *NEED_MORE)} == set(get_args(ActionName))


def test_every_status_has_a_row_in_the_table() -> None:
    assert set(LEGAL) == set(get_args(Status))


def test_the_first_public_reply_is_the_first_response_and_later_ones_are_not() -> None:
    file = done(case_file(status="assigned", owner="chen"), Reply("hello"))
    assert file.case.first_reply_at == LATER and file.case.status == "in_progress"
    again = act(file, Reply("and"), actor="chen", at=LATER + timedelta(hours=1), policy=POLICY)
    assert again.file.case.first_reply_at == LATER


def test_an_internal_reply_and_a_note_stop_no_clock() -> None:
    file = done(case_file(status="assigned", owner="chen"), Reply("psst", public=False), Note("n"))
    assert file.case.first_reply_at is None and file.case.status == "assigned" and file.case.version == 3


def test_a_hold_is_a_span_that_ends_on_resume() -> None:
    file = done(case_file(status="in_progress", owner="chen"), HoldFor("customer", "asked for a photo"))
    assert file.case.status == "pending_customer" and file.case.holds[0].end is None
    assert done(file, Resume()).case.holds[0].end == LATER


def test_a_resolution_ends_an_open_hold_and_needs_a_cause_of_the_policy() -> None:
    file = done(case_file(status="in_progress", owner="chen"), HoldFor("internal", "parts"))
    with pytest.raises(Evidence) as refused:
        act(file, Resolve("sent again", "bad luck"), actor="chen", at=LATER, policy=POLICY)
    assert refused.value.pointer == "/cause_code"
    resolved = done(file, Resolve("sent again", "carrier"))
    assert (resolved.case.status, resolved.case.cause_code) == ("resolved", "carrier")
    assert all(hold.end for hold in resolved.case.holds)


@pytest.mark.parametrize("text", ["", "  \n", "x" * 20_001])
def test_a_text_has_something_to_say_within_the_limit(text: str) -> None:
    with pytest.raises(Evidence):
        done(case_file(status="assigned"), Reply(text))


@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("action", EVERY_ACTION, ids=name_of)
def test_what_the_table_does_not_allow_is_refused_with_what_it_does(
    status: Status, action: AnyAction
) -> None:
    file = case_file(status=status, owner="chen")
    name = name_of(action)
    if name in LEGAL[status]:
        assert done(file, action).case.version == 2
        return
    with pytest.raises(Illegal) as refused:
        done(file, action)
    assert refused.value.allowed == LEGAL[status]


@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("action", NEED_MORE, ids=name_of)
def test_the_table_holds_for_assign_and_merge_too(status: Status, action: AnyAction) -> None:
    if name_of(action) in LEGAL[status]:
        check(case_file(status=status), action)
    else:
        with pytest.raises(Illegal):
            check(case_file(status=status), action)


def test_a_customer_message_ends_the_waiting_for_the_customer_who_waits_now() -> None:
    file = done(case_file(status="in_progress", owner="chen"), HoldFor("customer", "a photo?"))
    file = done(file, CustomerMessage("here it is"))
    assert file.case.status == "in_progress"
    assert file.case.holds[0].end == file.case.unanswered_since == LATER


def test_a_customer_message_does_not_end_the_waiting_for_somebody_inside() -> None:
    file = done(case_file(status="in_progress", owner="chen"), HoldFor("internal", "parts"))
    file = done(file, CustomerMessage("and?"))
    assert file.case.status == "pending_internal" and file.case.unanswered_since == LATER


def test_the_oldest_unanswered_message_counts() -> None:
    file = case_file(status="in_progress", owner="chen", unanswered_since=NOW)
    assert done(file, CustomerMessage("hello?")).case.unanswered_since == NOW


@pytest.mark.parametrize("action", [Reopen("it broke again"), CustomerMessage("it broke again")], ids=name_of)
def test_a_reopened_case_goes_back_to_the_pool_with_its_owner_preferred_and_the_pause_as_a_hold(
    action: AnyAction,
) -> None:
    resolved = done(case_file(status="in_progress", owner="chen"), Resolve("sent again", "carrier"))
    step = act(resolved, action, actor="wu", at=LATER + timedelta(days=2), policy=POLICY)
    case, books = step.file.case, step.file.books
    assert (case.status, case.owner, case.reopened, case.resolved_at) == ("reopened", "", 1, None)
    assert books.prefer == "chen"
    assert case.holds == (Hold(status="resolved", start=LATER, end=LATER + timedelta(days=2)),)


def test_a_closed_case_is_reopened_within_the_window_and_not_after_it() -> None:
    closed = done(case_file(status="resolved", owner="chen", resolved_at=NOW), Close(satisfied=True))
    assert closed.case.satisfied is True
    within = LATER + timedelta(seconds=POLICY.cases.reopen_within.seconds)
    assert act(closed, Reopen("x"), actor="wu", at=within, policy=POLICY).file.case.satisfied is None
    with pytest.raises(Illegal) as refused:
        act(closed, Reopen("x"), actor="wu", at=within + timedelta(seconds=1), policy=POLICY)
    assert "30d" in str(refused.value) and refused.value.allowed == ("note",)


def test_a_resolved_case_closes_by_itself_when_nobody_says_anything() -> None:
    step = close_silent(case_file(status="resolved", owner="chen", resolved_at=NOW), LATER, POLICY)
    assert (step.file.case.status, step.file.case.closed_at) == ("closed", LATER)
    assert step.entry.change.actor == "routing" and "3d" in step.entry.change.reason


def test_a_transfer_says_who_is_accountable_now_and_who_was() -> None:
    file = case_file(status="in_progress", owner="chen", accountable="wang", skills=("damage",))
    step = act(file, Transfer("service", "not ours"), actor="li", at=LATER, policy=POLICY)
    case, data = step.file.case, step.entry.change.data
    assert (case.department, case.owner, case.status, case.skills) == ("service", "", "new", ())
    assert (data["from"], data["to"], data["owner"]) == ("logistics", "service", "chen")
    assert data["accountable_from"] == "wang" and case.accountable == data["accountable_to"] != "wang"


@pytest.mark.parametrize("department", ["logistics", "nowhere"])
def test_a_transfer_goes_to_another_department_of_the_policy(department: str) -> None:
    with pytest.raises(Evidence) as refused:
        done(case_file(status="assigned", owner="chen"), Transfer(department, "x"))
    assert refused.value.pointer == "/department" and "service" in str(refused.value)


def test_another_judgement_gives_another_priority_by_the_matrix() -> None:
    file = case_file(status="assigned", owner="chen", severity="medium", urgency="medium", priority="P3")
    step = act(file, Prioritise("a child was hurt", severity="critical"), actor="li", at=LATER, policy=POLICY)
    assert (step.file.case.severity, step.file.case.urgency) == ("critical", "medium")
    assert step.file.case.priority == POLICY.priority("critical", "medium")
    assert (step.entry.change.data["from"], step.entry.change.data["to"]) == ("P3", step.file.case.priority)


def test_what_the_policy_raised_at_the_opening_stays_raised() -> None:
    file = case_file(Books(raised=1), severity="low", urgency="low", priority="P3")
    assert done(file, Prioritise("x", urgency="medium")).case.priority == POLICY.priority("low", "medium", 1)


def test_the_same_judgement_again_is_none() -> None:
    with pytest.raises(Evidence):
        done(case_file(severity="low", urgency="low"), Prioritise("x", severity="low"))


def test_who_does_not_acknowledge_in_time_loses_the_case_and_does_not_get_it_back_at_once() -> None:
    file = case_file(Books(acknowledge_by=NOW), status="assigned", owner="chen")
    step = unacknowledged(file, LATER, POLICY)
    assert (step.file.case.status, step.file.case.owner, step.file.books.avoid) == ("new", "", "chen")
    assert step.entry.change.type == "released" and "chen" in step.entry.change.reason


def test_an_acknowledged_case_has_no_deadline_for_it() -> None:
    file = case_file(Books(acknowledge_by=NOW), status="assigned", owner="chen")
    assert done(file, Acknowledge()).books.acknowledge_by is None


def test_a_merged_case_hands_its_evidence_over_and_both_keep_their_history() -> None:
    first, second = case_file(feedback_ids=(uuid4(),)), case_file(status="assigned", feedback_ids=(uuid4(),))
    gone, taken = merge(first, second, actor="li", at=LATER)
    assert (gone.file.case.status, gone.file.case.merged_into) == ("merged", second.case.id)
    assert taken.file.case.feedback_ids == (*second.case.feedback_ids, *first.case.feedback_ids)
    assert taken.file.case.status == "assigned" and taken.file.case.version == 2
    assert gone.entry.change.data["reference"] == second.case.reference


@pytest.mark.parametrize("status", ["resolved", "closed", "merged", "cancelled"])
def test_only_an_open_case_takes_another_one_in(status: Status) -> None:
    with pytest.raises(Evidence) as refused:
        merge(case_file(), case_file(status=status), actor="li", at=LATER)
    assert refused.value.pointer == "/into"


def test_a_case_is_not_merged_into_itself_and_takes_only_so_much_evidence() -> None:
    file = case_file(feedback_ids=tuple(uuid4() for _ in range(600)))
    other = case_file(feedback_ids=tuple(uuid4() for _ in range(600)))
    for into in (file, other):
        with pytest.raises(Evidence):
            merge(file, into, actor="li", at=LATER)


def test_history_does_not_run_backwards() -> None:
    file = case_file(status="assigned", owner="chen", updated_at=LATER)
    step = act(file, Acknowledge(), actor="chen", at=NOW, policy=POLICY)
    assert step.entry.change.at == LATER


def test_each_entry_carries_the_hash_of_the_one_before() -> None:
    first = act(case_file(status="assigned"), Acknowledge(), actor="chen", at=LATER, policy=POLICY)
    second = act(first.file, Start(), actor="chen", at=LATER, policy=POLICY)
    assert second.entry.previous == first.entry.hash and second.file.books.head == second.entry.hash
    altered = msgspec.structs.replace(first.entry.change, actor="somebody else")
    entry = first.entry
    assert entry_hash(entry.case_id, entry.version, entry.change, "", "") == entry.hash
    assert entry_hash(entry.case_id, entry.version, altered, "", "") != entry.hash


def raised(file: CaseFile, action: EscalationAction) -> EscalationRaised:
    labels = CaseLabels(department="logistics", priority=file.case.priority, kind="complaint", channel="web")
    return EscalationRaised(
        id=ids.name_id(file.case.id.hex, action), case_id=file.case.id, case_version=1, target="resolution",
        epoch=0, step=0, action=action, due_at=NOW, step_at=NOW, at=NOW, labels=labels,
    )  # fmt: skip


def test_an_escalation_raises_the_priority_by_one_and_only_once() -> None:
    file = case_file(status="assigned", owner="chen", priority="P3")
    step = obey(file, raised(file, "raise_priority"), backup="", now=LATER)
    assert step is not None and step.file.case.priority == "P2"
    assert obey(step.file, raised(file, "raise_priority"), backup="", now=LATER) is None


def test_a_reassignment_takes_the_case_from_its_owner_and_prefers_the_backup() -> None:
    file = case_file(status="in_progress", owner="chen")
    step = obey(file, raised(file, "reassign"), backup="zhao", now=LATER)
    assert step is not None and (step.file.case.status, step.file.case.owner) == ("new", "")
    assert (step.file.books.avoid, step.file.books.prefer) == ("chen", "zhao")


def test_a_closed_case_and_a_p1_have_nothing_to_obey() -> None:
    closed = case_file(status="resolved", owner="chen")
    assert obey(closed, raised(closed, "reassign"), backup="", now=LATER) is None
    top = case_file(status="assigned", owner="chen", priority="P1")
    assert obey(top, raised(top, "raise_priority"), backup="", now=LATER) is None


def test_an_escalation_that_found_nothing_to_do_does_nothing_when_it_comes_again() -> None:
    top = case_file(status="assigned", owner="chen", priority="P1")
    asked = raised(top, "raise_priority")
    kept = remember(top, asked)
    assert kept.case is top.case and remember(kept, asked) is kept
    lowered = CaseFile(msgspec.structs.replace(kept.case, priority="P3"), kept.books)
    assert obey(lowered, asked, backup="", now=LATER) is None
