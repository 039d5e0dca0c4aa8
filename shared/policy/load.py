"""From a folder of YAML files to a policy in force, or to findings that say what is wrong and where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from pydantic import ValidationError

from shared.calendar import Calendar, CalendarError
from shared.errors import SetupError
from shared.policy.check import check_document, check_gaps, check_words
from shared.policy.expressions import Expression, ExpressionError, FirstMatch, compile_expression
from shared.policy.fields import CASE_FIELDS, FEEDBACK_FIELDS, FieldKind
from shared.policy.models import CalendarSpec, Category, PolicyDocument
from shared.policy.policy import Policy
from shared.policy.source import Finding, Keys, Source, read_source
from shared.policy.words import WordMatcher

__all__ = ["Policy", "PolicyError", "build_calendar", "check", "load_policy"]

_WEIGHTS = {"P1": 3, "P2": 2, "P3": 1, "P4": 1}


class PolicyError(SetupError):
    """A policy that is refused; `findings` holds all errors and warnings, in order of their lines."""

    def __init__(self, findings: list[Finding]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        super().__init__("the policy is refused:\n" + "\n".join(map(str, errors)))
        self.findings = findings


def load_policy(folder: Path) -> Policy:
    """The policy of a folder (or of one file). Raises PolicyError; warnings are kept in the policy."""
    policy, findings = _build([folder], None)
    if policy is None:
        raise PolicyError(findings)
    return policy


def check(paths: Iterable[Path], today: date | None = None) -> list[Finding]:
    """All findings of the files and folders read as one policy, by file and line; empty when it is well.

    `today` also warns of public holidays whose make-up working days are not decreed yet.
    """
    return _build(list(paths), today)[1]


@dataclass(slots=True)
class _Compiled:
    """Conditions and calendars, with their findings reported on the way."""

    document: PolicyDocument
    source: Source
    calendars: dict[str, Calendar] = field(default_factory=dict)

    def build_calendars(self) -> None:
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

    def condition(self, text: str, fields: Mapping[str, FieldKind], *keys: str | int) -> Expression | None:
        try:
            condition = compile_expression(text, fields)
        except ExpressionError as error:
            self.source.report(keys, str(error))
            return None
        check_words(self.document, keys, condition, self.source)
        return condition


def build_calendar(spec: CalendarSpec) -> Calendar:
    """Compiles a calendar as written in a policy. Raises CalendarError."""
    return Calendar(spec.time_zone, spec.weekly, spec.holidays, spec.overrides, spec.breaks, spec.day)


def _build(paths: list[Path], today: date | None) -> tuple[Policy | None, list[Finding]]:
    source = read_source(paths)
    document = _validated(source)
    policy = None if document is None else _compiled(document, source, today)
    findings = sorted(set(source.findings))
    return (None if any(f.severity == "error" for f in findings) else policy), findings


def _validated(source: Source) -> PolicyDocument | None:
    if source.findings:
        return None
    try:
        return PolicyDocument.model_validate(source.data)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            source.report(_keys(problem["loc"]), _reason(problem["type"], problem["msg"]))
        return None


def _keys(location: tuple[str | int, ...]) -> Keys:
    """pydantic marks a wrong key of a mapping with the step "[key]"; the key itself stands before it."""
    return tuple(step for step in location if step != "[key]")


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Value error, ")


def _compiled(document: PolicyDocument, source: Source, today: date | None) -> Policy | None:
    build = _Compiled(document, source)
    build.build_calendars()
    cases, routing, sla = document.cases, document.routing, document.sla
    open_when = build.condition(cases.open_when, FEEDBACK_FIELDS, "cases", "open_when")
    raise_for = [
        build.condition(text, FEEDBACK_FIELDS, "cases", "priority", "raise_for", index)
        for index, text in enumerate(cases.priority.raise_for)
    ]
    rules = [
        build.condition(rule.when, FEEDBACK_FIELDS, "routing", index, "when") if rule.when else None
        for index, rule in enumerate(routing)
    ]
    sla_rules = [build.condition(entry.when, CASE_FIELDS, "sla", i, "when") for i, entry in enumerate(sla)]
    check_gaps(document, sla_rules, source)
    check_document(document, source, today if len(build.calendars) == len(document.calendars) else None)
    if open_when is None or any(f.severity == "error" for f in source.findings):
        return None
    return Policy(
        version=_version(source.data),
        organisation=document.organisation,
        calendars=MappingProxyType(build.calendars),
        departments=MappingProxyType(document.departments),
        people=MappingProxyType(document.people),
        load=MappingProxyType(_WEIGHTS | document.load),
        categories=MappingProxyType(document.categories),
        causes=tuple(document.causes),
        cases=cases,
        routing=tuple(routing),
        sla=tuple(sla),
        notify=document.notify,
        words=WordMatcher({name: _words(category) for name, category in document.categories.items()}),
        open_when=open_when,
        raise_for=tuple(condition for condition in raise_for if condition),
        rules=FirstMatch(rules),
        sla_rules=FirstMatch(sla_rules),
        warnings=tuple(sorted(set(source.findings))),
    )


def _words(category: Category) -> list[str]:
    return [word for words in category.words.values() for word in words]


def _version(data: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()[:12]
