"""The organisation as data: read, checked, compiled. docs/policy.md is the guide for its authors."""

from shared.policy.durations import Business, Percent, Wall
from shared.policy.expressions import Expression, ExpressionError, FirstMatch, compile_expression
from shared.policy.fields import Context, Values, case_context, feedback_context
from shared.policy.load import Policy, PolicyError, build_calendar, check, load_policy
from shared.policy.models import (
    PRIORITIES,
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
from shared.policy.sla_models import Notify, QuietHours, SlaEntry, Step
from shared.policy.source import Finding
from shared.policy.words import WordMatch, WordMatcher

__all__ = [
    "PRIORITIES",
    "Assign",
    "Away",
    "Business",
    "CalendarSpec",
    "Cases",
    "Category",
    "Context",
    "Department",
    "Expression",
    "ExpressionError",
    "Finding",
    "FirstMatch",
    "Notify",
    "Organisation",
    "Percent",
    "Person",
    "Policy",
    "PolicyError",
    "QuietHours",
    "Rule",
    "SlaEntry",
    "Step",
    "Values",
    "Wall",
    "WordMatch",
    "WordMatcher",
    "build_calendar",
    "case_context",
    "check",
    "compile_expression",
    "feedback_context",
    "load_policy",
]
