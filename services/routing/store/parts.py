"""The collections of routing, for the parts of its store."""

from __future__ import annotations

from shared.mongo import Database


class Part:
    """Whoever reads or writes routing's collections."""

    def __init__(self, database: Database) -> None:
        self._feedback = database.feedback
        self._cases = database.cases
        self._history = database.case_history
        self._pools = database.pools
        self._absences = database.absences
        self._policies = database.policies
