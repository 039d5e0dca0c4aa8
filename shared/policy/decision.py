"""What the policy decides about a feedback: pure functions, for routing and for `cqm policy explain`.

First `read` (the category), then `policy.open_when` over its context, then `judge` for what opens a case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Literal, NamedTuple, TypeVar

from shared.events import FeedbackReceived, Priority, Severity, Urgency
from shared.policy.fields import Context, feedback_context
from shared.policy.models import PRIORITIES, SEVERITIES, URGENCIES, Rule
from shared.policy.policy import Policy, Raci, Raising
from shared.policy.words import WordMatch

G = TypeVar("G", bound=str)
By = Literal["given", "words", "none"]


class Reading(NamedTuple):
    """What the policy sees in a feedback: its category, how that was found, and all fields for conditions."""

    category: str
    by: By
    found: WordMatch
    context: Context


class Graded(NamedTuple, Generic[G]):
    """A severity or urgency: as given, or of a `category` (the nearest that is named), or medium.

    `raised`: what raised it, as far as it could be.
    """

    value: G
    by: Literal["given", "category", "default"]
    category: str = ""
    raised: tuple[Raising, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Whose work a feedback is, how grave and how urgent, by which rule."""

    rule: Rule
    department: str
    accountable: str
    raci: Raci
    severity: Graded[Severity]
    urgency: Graded[Urgency]
    priority: Priority
    raised: tuple[Raising, ...]


_NO_WORDS = WordMatch()
_REMEMBERED = 2048
"""Judgements; they keep the policies alive that made them, which come and go seldom."""


def read(feedback: FeedbackReceived, policy: Policy) -> Reading:
    """A given category is kept as it is, known or not; a missing one is found by the policy's words."""
    if feedback.category:
        return Reading(feedback.category, "given", _NO_WORDS, feedback_context(feedback))
    found = policy.words.match(feedback.subject, feedback.text)
    by: By = "words" if found.category else "none"
    return Reading(found.category, by, found, feedback_context(feedback, category=found.category))


def read_if_it_opens(feedback: FeedbackReceived, policy: Policy) -> Reading | None:
    """What the policy reads in a feedback that is somebody's work; None for one that is only recorded.

    Where `cases.open_when` does not ask for the category, no words are looked for in what is only recorded,
    which is most of what customers say.
    """
    if "category" in policy.open_when.paths:
        reading = read(feedback, policy)
        return reading if opens(reading, policy) else None
    return read(feedback, policy) if policy.open_when.evaluate(feedback_context(feedback)) else None


def opens(reading: Reading, policy: Policy) -> bool:
    """Whether this feedback is somebody's work (`cases.open_when`)."""
    return policy.open_when.evaluate(reading.context)


def judge(feedback: FeedbackReceived, reading: Reading, policy: Policy) -> Judgement:
    """The first rule that holds, and the priority. The last rule of a policy always holds."""
    place = policy.rules.index(reading.context)
    assert place is not None, "the last rule has no condition"
    raises, context = policy.raises, reading.context
    return _judgement(
        policy,
        place,
        reading.category,
        feedback.severity,
        feedback.urgency,
        () if feedback.severity else _holding(raises.severity, context),
        () if feedback.urgency else _holding(raises.urgency, context),
        _holding(raises.priority, context),
    )


@lru_cache(maxsize=_REMEMBERED)
def _judgement(
    policy: Policy,
    place: int,
    name: str,
    given_severity: Severity | Literal[""],
    given_urgency: Urgency | Literal[""],
    raise_severity: tuple[int, ...],
    raise_urgency: tuple[int, ...],
    raise_priority: tuple[int, ...],
) -> Judgement:
    """Few judgements are different; equal ones are one object, whose words are remembered, too."""
    rule, raises = policy.routing[place], policy.raises
    of, category = policy.category(name)
    severity = _graded(
        SEVERITIES, given_severity, category.severity if category else None, of,
        [raises.severity[at] for at in raise_severity],
    )  # fmt: skip
    urgency = _graded(
        URGENCIES, given_urgency, category.urgency if category else None, of,
        [raises.urgency[at] for at in raise_urgency],
    )  # fmt: skip
    most = PRIORITIES.index(policy.priority(severity.value, urgency.value))
    raised = tuple(raises.priority[at] for at in raise_priority[:most])
    return Judgement(
        rule=rule,
        department=rule.assign.department,
        accountable=policy.accountable(rule.assign.department),
        raci=policy.raci_of(name),
        severity=severity,
        urgency=urgency,
        priority=policy.priority(severity.value, urgency.value, len(raised)),
        raised=raised,
    )


def _graded(
    scale: tuple[G, ...],
    given: G | Literal[""],
    of_category: G | None,
    category: str,
    raises: list[Raising],
) -> Graded[G]:
    """What the sender gives is kept; anything else is raised by one step for each condition that holds."""
    if given:
        return Graded(given, "given")
    place = scale.index(of_category or "medium")
    raised = tuple(raises[:place])
    by: Literal["category", "default"] = "category" if of_category else "default"
    return Graded(scale[place - len(raised)], by, category if of_category else "", raised)


def _holding(raises: tuple[Raising, ...], context: Context) -> tuple[int, ...]:
    return tuple([place for place, one in enumerate(raises) if one.condition.evaluate(context)])
