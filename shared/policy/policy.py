"""The policy in force, as services read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.calendar import Calendar
from shared.events import Priority
from shared.policy.expressions import Expression, FirstMatch
from shared.policy.models import PRIORITIES, Cases, Category, Department, Organisation, Person, Rule
from shared.policy.sla_models import Notify, SlaEntry
from shared.policy.source import Finding
from shared.policy.words import WordMatcher


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """The organisation as data, checked and compiled; never changed after it was loaded.

    `version` is the first 12 hex digits of the SHA-256 of the merged content: which file a section
    stands in, comments and the order of keys do not matter, the order of rules does.
    """

    version: str
    organisation: Organisation
    calendars: Mapping[str, Calendar]
    departments: Mapping[str, Department]
    people: Mapping[str, Person]
    load: Mapping[str, int]
    categories: Mapping[str, Category]
    causes: tuple[str, ...]
    cases: Cases
    routing: tuple[Rule, ...]
    sla: tuple[SlaEntry, ...]
    notify: Notify
    words: WordMatcher
    open_when: Expression
    raise_for: tuple[Expression, ...]
    rules: FirstMatch
    sla_rules: FirstMatch
    warnings: tuple[Finding, ...]

    def calendar_of_person(self, name: str) -> Calendar:
        """A person's own calendar, else the department's. KeyError for an unknown person."""
        person = self.people[name]
        return self.calendars[person.calendar or self.departments[person.department].calendar]

    def calendar_of_department(self, name: str) -> Calendar:
        """KeyError for an unknown department."""
        return self.calendars[self.departments[name].calendar]

    def priority(self, severity: str, urgency: str, raised_by: int = 0) -> Priority:
        """By the matrix, `raised_by` steps higher, P1 at most (docs/domain.md 1.5)."""
        plain: Mapping[Any, Mapping[Any, Priority]] = self.cases.priority.matrix
        return PRIORITIES[max(int(plain[severity][urgency][1:]) - 1 - raised_by, 0)]
