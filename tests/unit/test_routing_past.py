"""What a case says of its own past: who reads its newest version needs none of those before."""

from __future__ import annotations

from datetime import timedelta

from services.routing.domain.case_file import CaseFile, advance
from services.routing.domain.past import ANSWERS_KEPT
from shared.events import Answer, Change, Formerly
from tests.support.cases import NOW, case_file

MINUTE = timedelta(minutes=1)


def changed(file: CaseFile, minutes: int, **fields: object) -> CaseFile:
    change = Change(type="noted", actor="chen", at=NOW + minutes * MINUTE)
    return advance(file, change, **fields).file


def test_a_department_and_a_priority_are_remembered_until_they_change() -> None:
    file = changed(case_file(), 1, owner="chen")
    assert file.case.formerly == ()
    file = changed(file, 2, priority="P1")
    file = changed(file, 5, department="quality", priority="P2")
    assert file.case.formerly == (
        Formerly(department="logistics", priority="P3", end=NOW + 2 * MINUTE),
        Formerly(department="logistics", priority="P1", end=NOW + 5 * MINUTE),
    )


def test_a_message_is_remembered_with_its_reply_and_a_resolution_answers_too() -> None:
    file = case_file(unanswered_since=NOW)
    file = changed(file, 1, unanswered_since=None, first_reply_at=NOW + MINUTE)
    file = changed(file, 2, unanswered_since=NOW + 2 * MINUTE)
    file = changed(file, 4, status="resolved", resolved_at=NOW + 4 * MINUTE)
    assert file.case.unanswered_since is None and file.case.answered == 2
    assert file.case.answers == (
        Answer(start=NOW, end=NOW + MINUTE),
        Answer(start=NOW + 2 * MINUTE, end=NOW + 4 * MINUTE),
    )


def test_only_the_newest_answers_are_kept_and_all_are_counted() -> None:
    file = case_file(unanswered_since=NOW)
    for number in range(ANSWERS_KEPT + 3):
        file = changed(file, 2 * number + 1, unanswered_since=None, first_reply_at=NOW + MINUTE)
        file = changed(file, 2 * number + 2, unanswered_since=NOW + (2 * number + 2) * MINUTE)
    assert len(file.case.answers) == ANSWERS_KEPT and file.case.answered == ANSWERS_KEPT + 3
    assert file.case.answers[0].start == NOW + 6 * MINUTE


def test_a_case_of_before_answers_were_kept_counts_its_first_reply() -> None:
    file = case_file(first_reply_at=NOW, unanswered_since=NOW + MINUTE)
    assert changed(file, 2, unanswered_since=None).case.answered == 2
