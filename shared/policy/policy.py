"""The policy in force, as services read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from shared.calendar import Calendar
from shared.events import Priority
from shared.policy.expressions import Expression
from shared.policy.fields import Context
from shared.policy.first_match import FirstMatch
from shared.policy.models import (
    MOST_LEVELS,
    PRIORITIES,
    Cases,
    Category,
    Department,
    Organisation,
    Person,
    Rule,
    Text,
)
from shared.policy.sla_models import Notify, SlaEntry
from shared.policy.source import Finding
from shared.policy.words import WordMatcher

V = TypeVar("V")


class Raising(NamedTuple):
    """A compiled condition that raises by one step, and why."""

    condition: Expression
    because: Text | None


class Raises(NamedTuple):
    """What raises what (docs/policy.md)."""

    severity: tuple[Raising, ...]
    urgency: tuple[Raising, ...]
    priority: tuple[Raising, ...]


class Raci(NamedTuple):
    """Whom a category concerns besides its owner and the department's head: departments and people."""

    consulted: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()


class SlaPlace(NamedTuple):
    """Position of an entry of `sla`, and the name of the calendar that its times count in."""

    place: int
    calendar: str


_NOBODY = Raci()


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """The organisation as data, checked and compiled; never changed after it was loaded.

    `content` is all files merged, as canonical JSON; `version` the first 12 hex digits of its SHA-256: which
    file a section stands in, comments and the order of keys do not matter, the order of rules does.
    """

    version: str
    content: str
    organisation: Organisation
    calendars: Mapping[str, Calendar]
    departments: Mapping[str, Department]
    people: Mapping[str, Person]
    load: Mapping[str, int]
    categories: Mapping[str, Category]
    causes: tuple[str, ...]
    raci: Mapping[str, Raci]
    cases: Cases
    routing: tuple[Rule, ...]
    sla: tuple[SlaEntry, ...]
    notify: Notify
    words: WordMatcher
    open_when: Expression
    raises: Raises
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

    def accountable(self, department: str) -> str:
        """The head, else the supervisor, else "". KeyError for an unknown department."""
        found = self.departments[department]
        return found.head or found.supervisor or ""

    def priority(self, severity: str, urgency: str, raised_by: int = 0) -> Priority:
        """By the matrix, `raised_by` steps higher, P1 at most (docs/domain.md 1.5)."""
        plain: Mapping[Any, Mapping[Any, Priority]] = self.cases.priority.matrix
        return PRIORITIES[max(int(plain[severity][urgency][1:]) - 1 - raised_by, 0)]

    def category(self, name: str) -> tuple[str, Category | None]:
        """The category or its nearest named ancestor: logistics.damage.glass is a logistics.damage."""
        return _nearest(name, self.categories)

    def raci_of(self, category: str) -> Raci:
        """By the category's own entry in `raci`, else its nearest ancestor's; roles are spelt out."""
        return _nearest(category, self.raci)[1] or _NOBODY

    def promise(self, context: Context, department: str) -> SlaPlace | None:
        """The first entry of `sla` that holds, in its calendar, else the department's; None without one."""
        index = self.sla_rules.index(context)
        if index is None:
            return None
        found = self.departments.get(department)
        calendar = self.sla[index].calendar or (found.calendar if found else "")
        return SlaPlace(index, calendar) if calendar in self.calendars else None


def _nearest(name: str, among: Mapping[str, V]) -> tuple[str, V | None]:
    """Of a name that somebody gave only so many levels are looked at as one of the policy can have."""
    name = ".".join(name.split(".", MOST_LEVELS)[:MOST_LEVELS])
    while name and name not in among:
        name = name.rpartition(".")[0]
    return name, among.get(name)
