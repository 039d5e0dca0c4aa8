"""What people may do with a case, and what it leaves behind (docs/domain.md 1), as sentences."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import msgspec
import pytest

from services.routing.domain.case_file import CaseFile, entry_hash
from services.routing.domain.escalation import obey
from services.routing.domain.lifecycle import (
    LEGAL,
    Acknowledge,
    AnyAction,
    Evidence,
    HoldFor,
    Illegal,
    Note,
    Reply,
    Resolve,
    Resume,
    Start,
    act,
)
from shared import ids
from shared.events import CaseLabels, EscalationAction, EscalationRaised, Status
from tests.support.cases import NOW, case_file

LATER = NOW + timedelta(minutes=5)
CAUSES = ("carrier", "unknown")
EVERY_ACTION: tuple[AnyAction, ...] = (
    Acknowledge(), Start(), Reply("x"), Note("x"), HoldFor("customer", "x"), Resume(),
    Resolve("x", "carrier"),
)  # fmt: skip


def done(file: CaseFile, *actions: AnyAction) -> CaseFile:
    for action in actions:
        file = act(file, action, actor="chen", at=LATER, causes=CAUSES).file
    return file


def test_every_status_has_a_row_in_the_table() -> None:
    assert set(LEGAL) == set(get_args(Status))


def test_the_first_public_reply_is_the_first_response_and_later_ones_are_not() -> None:
    file = done(case_file(status="assigned", owner="chen"), Reply("hello"))
    assert file.case.first_reply_at == LATER and file.case.status == "in_progress"
    again = act(file, Reply("and"), actor="chen", at=LATER + timedelta(hours=1), causes=CAUSES)
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
        act(file, Resolve("sent again", "bad luck"), actor="chen", at=LATER, causes=CAUSES)
    assert refused.value.pointer == "/cause_code"
    resolved = done(file, Resolve("sent again", "carrier"))
    assert (resolved.case.status, resolved.case.cause_code) == ("resolved", "carrier")
    assert all(hold.end for hold in resolved.case.holds)


@pytest.mark.parametrize("text", ["", "  \n", "x" * 20_001])
def test_a_text_has_something_to_say_within_the_limit(text: str) -> None:
    with pytest.raises(Evidence):
        done(case_file(status="assigned"), Reply(text))


@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize(
    "action",
    [
        Acknowledge(),
        Start(),
        Reply("x"),
        Note("x"),
        HoldFor("customer", "x"),
        Resume(),
        Resolve("x", "carrier"),
    ],
)
def test_what_the_table_does_not_allow_is_refused_with_what_it_does(
    status: Status, action: AnyAction
) -> None:
    file = case_file(status=status, owner="chen")
    name = action.__struct_config__.tag
    if name in LEGAL[status]:
        assert done(file, action).case.version == 2
        return
    with pytest.raises(Illegal) as refused:
        done(file, action)
    assert refused.value.allowed == LEGAL[status]


def test_history_does_not_run_backwards() -> None:
    file = case_file(status="assigned", owner="chen", updated_at=LATER)
    step = act(file, Acknowledge(), actor="chen", at=NOW, causes=CAUSES)
    assert step.entry.change.at == LATER


def test_each_entry_carries_the_hash_of_the_one_before() -> None:
    first = act(case_file(status="assigned"), Acknowledge(), actor="chen", at=LATER, causes=CAUSES)
    second = act(first.file, Start(), actor="chen", at=LATER, causes=CAUSES)
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
