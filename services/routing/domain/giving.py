"""What a batch of requests does: every department that was asked gives out what waits there."""

from __future__ import annotations

from collections.abc import Sequence

from services.routing.domain.case_file import ask_for_roster
from services.routing.domain.changes import Changes
from services.routing.domain.turn import Turn, take
from shared.events import AssignmentRequested
from shared.handler import Batch, Decision, Emit
from shared.policy import Policy

QUEUE_PAGE = 1000
"""Cases of a department's queue that are looked at in one transaction."""


def decide_assignments(
    batch: Batch[AssignmentRequested], turns: Sequence[Turn], policy: Policy
) -> Decision[Changes]:
    """Every department of the batch gives out what waits, by one writer at a time; one that lets a case go
    and one that takes it may both be among them."""
    changes, requests = Changes(), list[Emit]()
    for turn in turns:
        for file in (*turn.asked, *turn.waiting):
            changes.before.setdefault(file.case.id, file.case.version)
        requests += take(turn.after(changes.files), changes, policy, batch.now)
        is_page = max(len(turn.asked), len(turn.waiting)) >= QUEUE_PAGE
        if is_page and turn.roster.department in changes.pools:  # there may be more
            requests.append(ask_for_roster(turn.roster.department, policy.version, batch.now, turn.cause))
    return Decision(changes, [*changes.events(), *requests])
