"""Why the policy decides as it does about one feedback, whole: for `cqm policy explain` and dry runs.

The decisions are those of decision.py; nothing is decided here. What depends on other cases (whether an open
one about the same matter is joined, who the owner will be) cannot be known from one feedback alone.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from shared.events import FeedbackReceived
from shared.policy import wording
from shared.policy.decision import Graded, Judgement, Reading, judge, opens, read
from shared.policy.expressions import compile_expression
from shared.policy.fields import FEW_VALUES, opening_context
from shared.policy.policy import Policy, Raising
from shared.policy.reach import alternatives
from shared.policy.wording import Reader


class Found(Struct, frozen=True):
    """The category. `by` is given, words or none; `words` count, `denied` do not."""

    id: str
    name: str
    by: str
    words: tuple[str, ...]
    denied: tuple[str, ...]
    why: str


class Grade(Struct, frozen=True):
    """`by` is given, default, or the category that says so; `raised` holds the conditions that held."""

    value: str
    by: str
    raised: tuple[str, ...]
    why: str


class Time(Struct, frozen=True):
    """A promised time in business seconds of the entry's calendar, and in words."""

    seconds: int
    why: str


class Promised(Struct, frozen=True):
    """The entry of `sla` and its targets."""

    name: str
    calendar: str
    targets: dict[str, Time]


class Placed(Struct, frozen=True):
    """The case that the feedback opens."""

    severity: Grade
    urgency: Grade
    priority: Grade
    rule: str
    because: str
    department: str
    accountable: str
    skills: tuple[str, ...]
    language: str
    consulted: tuple[str, ...]
    informed: tuple[str, ...]
    sla: Promised | None


class Explanation(Struct, frozen=True):
    """`case` is None where the feedback is only recorded.

    `open_when` is the first alternative of the policy's that holds, with the `values` of its fields, or all
    of it when none does. `joins` are the fields that make it the same matter as an open case's, which it
    would join: none where the customer is not known.
    """

    policy_version: str
    category: Found
    opens_case: bool
    open_when: str
    values: dict[str, str]
    joins: list[str]
    case: Placed | None


def explain(feedback: FeedbackReceived, policy: Policy, to: Reader) -> Explanation:
    """The decision with its reasons, in the reader's language. Changes nothing."""
    reading = read(feedback, policy)
    opened = opens(reading, policy)
    known = policy.category(reading.category)[1]
    name = known.name.in_language(to) if known and known.name else ""
    held, values = _what_holds(reading, policy) if opened else (policy.open_when.text, {})
    return Explanation(
        policy_version=policy.version,
        category=Found(
            reading.category,
            name,
            reading.by,
            reading.found.words,
            reading.found.denied,
            wording.category(reading, to, name),
        ),
        opens_case=opened,
        open_when=held,
        values=values,
        joins=policy.cases.join.same if opened and feedback.customer.id else [],
        case=_placed(feedback, reading, policy, to) if opened else None,
    )


def _what_holds(reading: Reading, policy: Policy) -> tuple[str, dict[str, str]]:
    """The alternative that holds, and what stands in those of its fields that have few values."""
    parts = [policy.open_when, *map(compile_expression, alternatives(policy.open_when.text))]
    held = next((part for part in parts[1:] if part.evaluate(reading.context)), parts[0])
    compared = {path: str(reading.context.value(path)) for path, _, _ in held.compared}
    return held.text, {path: value for path, value in compared.items() if value and path in FEW_VALUES}


def _placed(feedback: FeedbackReceived, reading: Reading, policy: Policy, to: Reader) -> Placed:
    judgement = judge(feedback, reading, policy)
    rule = judgement.rule
    return Placed(
        severity=_grade(judgement.severity, wording.severity(judgement, to)),
        urgency=_grade(judgement.urgency, wording.urgency(judgement, to)),
        priority=Grade(
            judgement.priority, "matrix", _conditions(judgement.raised), wording.priority(judgement, to)
        ),
        rule=rule.name,
        because=rule.because.in_language(to) if rule.because else "",
        department=judgement.department,
        accountable=judgement.accountable,
        skills=tuple(rule.assign.skills),
        language=feedback.language,
        consulted=judgement.raci.consulted,
        informed=judgement.raci.informed,
        sla=_promised(feedback, reading, judgement, policy, to),
    )


def _grade(graded: Graded[Any], why: str) -> Grade:
    return Grade(graded.value, graded.category or graded.by, _conditions(graded.raised), why)


def _conditions(raised: tuple[Raising, ...]) -> tuple[str, ...]:
    return tuple(one.condition.text for one in raised)


def _promised(
    feedback: FeedbackReceived, reading: Reading, judgement: Judgement, policy: Policy, to: Reader
) -> Promised | None:
    priority = judgement.priority
    context = opening_context(
        feedback,
        category=reading.category,
        severity=judgement.severity.value,
        urgency=judgement.urgency.value,
        priority=priority,
        department=judgement.department,
    )
    found = policy.promise(context, judgement.department)
    if found is None:
        return None
    entry, hours = policy.sla[found.place], policy.calendars[found.calendar]
    targets: dict[str, Time] = {
        target: Time(
            times[priority].on(hours),
            wording.span(times[priority], to, whole_days=hours.day_seconds == 86_400),
        )
        for target, times in entry.targets.items()
        if priority in times
    }
    return Promised(entry.name, found.calendar, targets)
