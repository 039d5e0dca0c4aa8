"""Cross-checks of a policy: names that must exist, orders that must make sense (docs/policy.md).

Each check is a function over the validated document that reports to the source, which knows the lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from shared.calendar import Calendar
from shared.policy.check_order import check_order
from shared.policy.check_staff import check_staff
from shared.policy.check_times import check_times
from shared.policy.check_words import check_words
from shared.policy.expressions import Expression
from shared.policy.fields import CUSTOMER, FEEDBACK_FIELDS, JOINABLE, WORDS
from shared.policy.models import PRIORITIES, PolicyDocument
from shared.policy.sla_models import Step
from shared.policy.source import Keys, Source
from shared.public_holidays import decreed_until

_AHEAD = timedelta(days=60)
"""Times promised in December end in January, and a year's decree comes in the autumn before."""


def check_document(
    document: PolicyDocument,
    sla: Sequence[Expression | None],
    calendars: Mapping[str, Calendar],
    source: Source,
    today: date | None,
) -> None:
    """Reports every finding that needs no compiled condition but those of `sla`, and no calendar but those in
    `calendars`: what compiled of them.

    `today` adds what holidays do not cover.
    """
    _departments(document, source)
    _people(document, source)
    _routing(document, source)
    _sla(document, source)
    _gaps(document, sla, source)
    _join(document, source)
    check_order(document, source)
    check_staff(document, source)
    check_times(document, calendars, source)
    check_words(document, source)
    if today is not None:
        _holiday_decrees(document, source, today)


def check_compared(document: PolicyDocument, keys: Keys, condition: Expression, source: Source) -> None:
    """Words that a condition compares fields with: unknown ones make it never hold."""
    known: dict[str, tuple[str, ...]] = {**WORDS, "department": tuple(document.departments)}
    known["category"] = tuple(document.categories)
    for path, sign, word in condition.compared:
        words = known.get(path)
        if words is None or word == "":
            continue
        starts = sign == "startsWith" and any(name.startswith(word) for name in words)
        if word not in words and not starts:
            source.report(keys, f"{path} is never '{word}': no such name")


def _departments(document: PolicyDocument, source: Source) -> None:
    for name, department in document.departments.items():
        keys: Keys = ("departments", name)
        _known(source, (*keys, "calendar"), department.calendar, document.calendars, "calendar")
        _known(source, (*keys, "backup"), department.backup, document.departments, "department")
        for role in ("head", "supervisor"):
            person = getattr(department, role)
            _known(source, (*keys, role), person, document.people, "person", warning=True)
            if person is None:
                source.report(keys, f"no {role}: notices to one are recorded and go nowhere", warning=True)


def _people(document: PolicyDocument, source: Source) -> None:
    for name, person in document.people.items():
        keys: Keys = ("people", name)
        _known(source, (*keys, "department"), person.department, document.departments, "department")
        _known(source, (*keys, "calendar"), person.calendar, document.calendars, "calendar")
        _known(source, (*keys, "backup"), person.backup, document.people, "person", warning=True)


def _routing(document: PolicyDocument, source: Source) -> None:
    for index, rule in enumerate(document.routing):
        keys: Keys = ("routing", index, "assign", "department")
        _known(source, keys, rule.assign.department, document.departments, "department")
    if document.routing[-1].when is not None:
        keys = ("routing", len(document.routing) - 1)
        source.report(keys, "the last rule has no `when`, so that every feedback goes somewhere")
    _unique(source, "routing", [rule.name for rule in document.routing])


def _sla(document: PolicyDocument, source: Source) -> None:
    for index, entry in enumerate(document.sla):
        keys: Keys = ("sla", index)
        _known(source, (*keys, "calendar"), entry.calendar, document.calendars, "calendar")
        for target, steps in entry.escalate.items():
            promised = (
                any(one.ola for one in document.departments.values())
                if target == "ola"
                else (target in entry.targets)
            )
            if not promised:
                source.report((*keys, "escalate", target), "has steps but no target")
            for number, step in enumerate(steps):
                _recipients(document, (*keys, "escalate", target, number, "to"), step, source)
    _unique(source, "sla", [entry.name for entry in document.sla])
    if not document.sla or document.sla[-1].when.strip() != "true":
        source.report(("sla",), 'no last entry `when: "true"`: other cases run without clocks', warning=True)


def _recipients(document: PolicyDocument, keys: Keys, step: Step, source: Source) -> None:
    """An address is somebody outside; a person and a role must be there."""
    roles = {role for person in document.people.values() for role in person.roles}
    for index, to in enumerate(step.to):
        if to.startswith("role:"):
            if to.removeprefix("role:") not in roles:
                source.report((*keys, index), f"nobody has the role '{to.removeprefix('role:')}'")
        elif "@" not in to:
            _known(source, (*keys, index), to, document.people, "person")


def _gaps(document: PolicyDocument, conditions: Sequence[Expression | None], source: Source) -> None:
    """Each target of an entry has a time for each priority; those that `when` names, if it names any."""
    for index, (entry, condition) in enumerate(zip(document.sla, conditions, strict=True)):
        compared = condition.compared if condition else ()
        named = {word for path, sign, word in compared if path == "priority" and sign in ("==", "in")}
        for target, times in entry.targets.items():
            missing = [p for p in PRIORITIES if p not in times and (p in named or not named)]
            if missing:
                source.report(("sla", index, "targets", target), f"no target for {', '.join(missing)}")
    for name, department in document.departments.items():
        missing = [p for p in PRIORITIES if p not in department.ola]
        if department.ola and missing:
            source.report(("departments", name, "ola"), f"no ola for {', '.join(missing)}")


def _join(document: PolicyDocument, source: Source) -> None:
    """One matter is one customer's (docs/domain.md 1.3): a batch reads the cases of its customers alone."""
    same = document.cases.join.same
    if CUSTOMER not in same:
        reason = f"has no '{CUSTOMER}': what strangers say would become one case"
        source.report(("cases", "join", "same"), reason)
    for index, path in enumerate(same):
        if path not in FEEDBACK_FIELDS and not path.startswith("attributes."):
            source.report(("cases", "join", "same", index), f"unknown field '{path}'")
        elif path not in JOINABLE:
            reason = f"a case keeps no '{path}' of its feedback; of use are {', '.join(JOINABLE)}"
            source.report(("cases", "join", "same", index), reason)


def _holiday_decrees(document: PolicyDocument, source: Source, today: date) -> None:
    for name, calendar in document.calendars.items():
        for index, entry in enumerate(calendar.holidays):
            until = None if entry[:1].isdigit() else decreed_until(entry)
            if until is not None and until < (today + _AHEAD).year:
                reason = f"make-up working days are known until {until}; give later ones under `overrides`"
                source.report(("calendars", name, "holidays", index), reason, warning=True)


def _unique(source: Source, section: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            source.report((section, index, "name"), "another entry has this name")


def _known(
    source: Source,
    keys: Keys,
    name: str | None,
    among: Mapping[str, object],
    what: str,
    *,
    warning: bool = False,
) -> None:
    if name is not None and name not in among:
        source.report(keys, f"unknown {what} '{name}'", warning=warning)
