"""From a validated document to the policy in force: conditions, calendars and words compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

import msgspec

from shared.calendar import Calendar, CalendarError
from shared.policy.check import check_compared, check_document
from shared.policy.expressions import Expression, ExpressionError, compile_expression
from shared.policy.fields import CASE_FIELDS, FEEDBACK_FIELDS, FieldKind
from shared.policy.first_match import FirstMatch
from shared.policy.models import CalendarSpec, Category, PolicyDocument, Raise, weights_of
from shared.policy.policy import Policy, Raci, Raises, Raising
from shared.policy.source import Keys, Source
from shared.policy.words import WordMatcher


def build_calendar(spec: CalendarSpec) -> Calendar:
    """Compiles a calendar as written in a policy. Raises CalendarError."""
    return Calendar(spec.time_zone, spec.weekly, spec.holidays, spec.overrides, spec.breaks, spec.day)


def compile_policy(document: PolicyDocument, source: Source, today: date | None) -> Policy | None:
    """The policy, or None after an error was reported to the source."""
    parts = _Compiled(document, source)
    parts.build()
    holidays_from = today if parts.has_all_calendars else None
    check_document(document, parts.sla, parts.calendars, source, holidays_from)
    if parts.open_when is None or any(finding.severity == "error" for finding in source.findings):
        return None
    content = _content(source.data)
    return Policy(
        version=hashlib.sha256(content.encode()).hexdigest()[:12],
        content=content,
        organisation=document.organisation,
        calendars=MappingProxyType(parts.calendars),
        departments=MappingProxyType(document.departments),
        people=MappingProxyType(document.people),
        load=MappingProxyType(weights_of(document)),
        categories=MappingProxyType(document.categories),
        causes=tuple(document.causes),
        raci=MappingProxyType(dict(_raci(document))),
        cases=document.cases,
        routing=tuple(document.routing),
        sla=tuple(document.sla),
        notify=document.notify,
        words=_matcher(document.categories),
        open_when=parts.open_when,
        raises=parts.raises,
        rules=FirstMatch(parts.rules),
        sla_rules=FirstMatch(parts.sla),
        warnings=tuple(sorted(set(source.findings))),
    )


@dataclass(slots=True)
class _Compiled:
    """Conditions and calendars, with their findings reported on the way."""

    document: PolicyDocument
    source: Source
    calendars: dict[str, Calendar] = field(default_factory=dict)
    open_when: Expression | None = None
    raises: Raises = field(default=Raises((), (), ()))
    rules: list[Expression | None] = field(default_factory=list)
    sla: list[Expression | None] = field(default_factory=list)

    def build(self) -> None:
        document, cases = self.document, self.document.cases
        self._build_calendars()
        self.open_when = self._condition(cases.open_when, FEEDBACK_FIELDS, "cases", "open_when")
        self.raises = Raises(
            tuple(self._raising(cases.severity.raise_for, "severity")),
            tuple(self._raising(cases.urgency.raise_for, "urgency")),
            tuple(self._raising(cases.priority.raise_for, "priority")),
        )
        for index, rule in enumerate(document.routing):
            keys: Keys = ("routing", index, "when")
            self.rules.append(self._condition(rule.when, FEEDBACK_FIELDS, *keys) if rule.when else None)
        for index, entry in enumerate(document.sla):
            self.sla.append(self._condition(entry.when, CASE_FIELDS, "sla", index, "when"))

    @property
    def has_all_calendars(self) -> bool:
        return len(self.calendars) == len(self.document.calendars)

    def _build_calendars(self) -> None:
        for name, spec in self.document.calendars.items():
            keys: Keys = ("calendars", name)
            try:
                calendar = build_calendar(spec)
            except CalendarError as error:
                inside = error.path.replace("[", ".").replace("]", "").split(".", 2)
                steps = (int(step) if step.isdigit() else step for step in inside)
                self.source.report((*keys, *steps), error.reason)
                continue
            if not calendar.works_weekly:
                self.source.report((*keys, "weekly"), "the calendar has no working time")
            self.calendars[name] = calendar

    def _raising(self, raises: list[Raise], what: str) -> Iterator[Raising]:
        for index, one in enumerate(raises):
            keys: Keys = ("cases", what, "raise_for", index)
            if (*keys, "when") in self.source.places:  # else it is the bare condition
                keys = (*keys, "when")
            condition = self._condition(one.when, FEEDBACK_FIELDS, *keys)
            if condition is not None:
                yield Raising(condition, one.because)

    def _condition(self, text: str, fields: Mapping[str, FieldKind], *keys: str | int) -> Expression | None:
        try:
            condition = compile_expression(text, fields)
        except ExpressionError as error:
            self.source.report(keys, str(error))
            return None
        check_compared(self.document, keys, condition, self.source)
        return condition


def _matcher(categories: Mapping[str, Category]) -> WordMatcher:
    words = {
        name: [word for texts in category.words.values() for word in texts]
        for name, category in categories.items()
    }
    return WordMatcher(words, {name for name, category in categories.items() if category.absence})


def _raci(document: PolicyDocument) -> Iterator[tuple[str, Raci]]:
    for category, spec in document.raci.items():
        yield category, Raci(_parties(spec.consulted, document), _parties(spec.informed, document))


def _parties(names: list[str], document: PolicyDocument) -> tuple[str, ...]:
    """Roles become the people who have them; everybody once, in the order of the policy."""
    found: dict[str, None] = {}
    for name in names:
        role = name.removeprefix("role:")
        if role == name:
            found[name] = None
        else:
            found |= {one: None for one, person in document.people.items() if role in person.roles}
    return tuple(found)


def _content(data: dict[str, Any]) -> str:
    return msgspec.json.encode(data, order="sorted").decode()
