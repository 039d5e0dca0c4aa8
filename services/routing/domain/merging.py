"""Two open cases about one matter become one: the evidence moves, and both keep their history."""

from __future__ import annotations

from datetime import datetime

from services.routing.domain.case_file import OPEN_STATUSES, CaseFile, Step, advance
from services.routing.domain.lifecycle import Evidence, ended_holds
from services.routing.domain.opening import EVIDENCE_LIMIT
from shared.events import Change


def merge(file: CaseFile, into: CaseFile, *, actor: str, at: datetime) -> tuple[Step, Step]:
    """The next versions of both: `file` merged, `into` with its evidence.

    The survivor keeps its owner, promises and priority, and the oldest unanswered message of the two.
    Raises Evidence when `into` cannot take it.
    """
    case, survivor = file.case, into.case
    if survivor.id == case.id:
        raise Evidence("/into", "must be another case")
    if survivor.status not in OPEN_STATUSES:
        raise Evidence("/into", f"must be an open case, this one is {survivor.status}")
    evidence = tuple(dict.fromkeys((*survivor.feedback_ids, *case.feedback_ids)))
    if len(evidence) > EVIDENCE_LIMIT:
        raise Evidence("/into", f"a case holds at most {EVIDENCE_LIMIT} feedbacks")
    at = max(at, case.updated_at, survivor.updated_at)
    unanswered = min(filter(None, (survivor.unanswered_since, case.unanswered_since)), default=None)
    gone = Change(
        type="merged", actor=actor, at=at, reason=f"the same matter as {survivor.reference}",
        data={"into": str(survivor.id), "reference": survivor.reference},
    )  # fmt: skip
    taken = Change(
        type="joined", actor=actor, at=at, reason=f"{case.reference} was merged into this case",
        data={"merged": str(case.id), "reference": case.reference},
    )  # fmt: skip
    return (
        advance(file, gone, status="merged", merged_into=survivor.id, holds=ended_holds(case, at)),
        advance(into, taken, feedback_ids=evidence, unanswered_since=unanswered),
    )
