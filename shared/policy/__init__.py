"""The organisation as data: read, checked, compiled. docs/policy.md is the guide for its authors."""

from shared.policy import wording
from shared.policy.decision import Judgement, Reading, judge, opens, read, read_if_it_opens
from shared.policy.durations import Business, Percent, Wall
from shared.policy.explain import Explanation, explain
from shared.policy.expressions import Expression, ExpressionError, compile_expression
from shared.policy.fields import Context, Values, case_context, feedback_context
from shared.policy.first_match import FirstMatch
from shared.policy.load import Policy, PolicyError, build_calendar, check, check_contents, load_policy
from shared.policy.models import (
    PRIORITIES,
    SEVERITIES,
    URGENCIES,
    Assign,
    Away,
    CalendarSpec,
    Cases,
    Category,
    Department,
    Organisation,
    Person,
    Rule,
)
from shared.policy.policy import Raci, SlaPlace
from shared.policy.said import NotFeedback, feedback_as_said
from shared.policy.sla_models import Notify, QuietHours, SlaEntry, Step
from shared.policy.source import Finding
from shared.policy.telling import sentences
from shared.policy.words import WordMatch, WordMatcher

__all__ = [
    "PRIORITIES",
    "SEVERITIES",
    "URGENCIES",
    "Assign",
    "Away",
    "Business",
    "CalendarSpec",
    "Cases",
    "Category",
    "Context",
    "Department",
    "Explanation",
    "Expression",
    "ExpressionError",
    "Finding",
    "FirstMatch",
    "Judgement",
    "NotFeedback",
    "Notify",
    "Organisation",
    "Percent",
    "Person",
    "Policy",
    "PolicyError",
    "QuietHours",
    "Raci",
    "Reading",
    "Rule",
    "SlaEntry",
    "SlaPlace",
    "Step",
    "Values",
    "Wall",
    "WordMatch",
    "WordMatcher",
    "build_calendar",
    "case_context",
    "check",
    "check_contents",
    "compile_expression",
    "explain",
    "feedback_as_said",
    "feedback_context",
    "judge",
    "load_policy",
    "opens",
    "read",
    "read_if_it_opens",
    "sentences",
    "wording",
]
