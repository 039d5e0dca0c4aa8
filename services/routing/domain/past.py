"""What a case says of its own past, for clocks that see its newest version only (shared/events.py, Case)."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from shared.events import Answer, Case, Formerly

ANSWERS_KEPT = 50
"""The newest; `answered` counts them all."""


def remembering(before: Case, after: Case, at: datetime) -> Case:
    """`after`, which the change at `at` made of `before`, with what is over since then: a department, a
    priority, a wait for an answer. A resolution answers, too."""
    if (before.department, before.priority) != (after.department, after.priority):
        was = Formerly(department=before.department, priority=before.priority, end=at)
        after = replace(after, formerly=(*after.formerly, was))
    if after.status == "resolved" and after.unanswered_since is not None:
        after = replace(after, unanswered_since=None)
    if before.unanswered_since is None or after.unanswered_since is not None:
        return after
    count = max(before.answered, int(before.first_reply_at is not None))  # cases from before `answers`
    answer = Answer(start=before.unanswered_since, end=max(at, before.unanswered_since))
    return replace(after, answers=(*after.answers, answer)[-ANSWERS_KEPT:], answered=count + 1)
