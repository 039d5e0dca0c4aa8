"""The table of who may what in docs/security.md, and what a row is found to be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from shared.principal import ROLES, Role

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
HERE, ELSEWHERE = "logistics", "service"
"""The department that a caller's key names, and another one (tests/data/policy/small.yaml)."""
ME, COLLEAGUE, STRANGER = "chen", "zhao", "emma"
_PATTERNS = {
    (False, False, False): "no",
    (True, False, False): "own",
    (True, True, False): "theirs",
    (True, True, True): "all",
}


class Cell(NamedTuple):
    of: str
    to: str
    role: Role
    said: str

    def __str__(self) -> str:
        return f"{self.role}: {self.to} {self.of}"


def cells() -> list[Cell]:
    """Every cell of the table."""
    section = PAGE.read_text().partition("### Who may what")[2].partition("\n### ")[0]
    table = [re.split(r" *\| *", row.strip("| ")) for row in section.splitlines() if row.startswith("| ")]
    head, *rows = table
    assert head[2:] == list(ROLES), "a column for each role"
    return [
        Cell(of, to, role, said)
        for of, to, *row in rows
        for role, said in zip(ROLES, row, strict=True)
    ]  # fmt: skip


def word_for(own: bool, others: bool, elsewhere: bool) -> str:
    """How the table says that something may be done to one's own, to a colleague's, and elsewhere."""
    return _PATTERNS[own, others, elsewhere]
