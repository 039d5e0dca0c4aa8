"""Cases for tests of pure decisions: only what a test says is special."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from services.routing.domain.assignment import Roster
from services.routing.domain.case_file import Books, CaseFile
from services.routing.domain.pool import NEVER, Member
from shared import ids
from shared.events import Case, Priority
from shared.policy import load_policy
from shared.settings import DEMO_POLICY

POLICY = load_policy(DEMO_POLICY)
NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
WEIGHTS: dict[Priority, int] = {"P1": 3, "P2": 2, "P3": 1, "P4": 1}


def weigh(priority: Priority) -> int:
    return WEIGHTS[priority]


def case_file(books: Books | None = None, **fields: Any) -> CaseFile:
    """An open case of logistics without an owner."""
    identity = uuid4()
    given: dict[str, Any] = {
        "id": identity, "reference": ids.reference(identity), "version": 1, "status": "new",
        "priority": "P3", "severity": "medium", "urgency": "medium", "kind": "complaint", "channel": "web",
        "department": "logistics", "language": "zh", "opened_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return CaseFile(Case(**given | fields), books or Books())


def member(name: str, capacity: int = 5, **fields: Any) -> Member:
    given: dict[str, Any] = {"skills": frozenset(), "languages": frozenset({"zh"}), "starts": NEVER}
    return Member(name, capacity, **given | fields)


def roster(*members: Member, backup: str = "", away: tuple[str, ...] = ()) -> Roster:
    staff = frozenset((*away, *(one.id for one in members)))
    return Roster("logistics", "li", {one.id: one for one in members}, staff, backup)
