"""The fields that conditions may name, and how each is read from a feedback or a case.

A missing text is "", a missing number is null; personal data cannot be named. Nothing is converted until
a condition asks for it, and then only what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

from shared.events import (
    Case,
    Channel,
    FeedbackReceived,
    Kind,
    Language,
    Metric,
    Priority,
    Severity,
    Status,
    Touchpoint,
    Urgency,
)
from shared.rating import LEVELS, rating_level

FieldKind = Literal["text", "number", "time"]
ATTRIBUTES = "attributes"


class Context(Protocol):
    """Values for conditions. `value` answers every path of the fields that a condition was compiled for."""

    def value(self, path: str) -> Any: ...


_COMMON: dict[str, Callable[[Any], Any]] = {
    "id": lambda it: str(it.id),
    "source": lambda it: it.source,
    "kind": lambda it: it.kind,
    "channel": lambda it: it.channel,
    "language": lambda it: it.language,
    "subject": lambda it: it.subject,
    "touchpoint": lambda it: it.touchpoint,
    "category": lambda it: it.category,
    "severity": lambda it: it.severity,
    "urgency": lambda it: it.urgency,
    "supplier_id": lambda it: it.supplier_id,
    "customer.id": lambda it: it.customer.id,
    "customer.tier": lambda it: it.customer.tier,
    "customer.region": lambda it: it.customer.region,
    "product.sku": lambda it: it.product.sku,
    "product.model": lambda it: it.product.model,
    "product.batch": lambda it: it.product.batch,
}
_OF_FEEDBACK: dict[str, Callable[[Any], Any]] = {
    **_COMMON,
    "external_id": lambda it: it.external_id,
    "occurred_at": lambda it: it.occurred_at,
    "received_at": lambda it: it.received_at,
    "text": lambda it: it.text,
    "order_id": lambda it: it.order_id,
    "rating.metric": lambda it: it.rating.metric if it.rating else "",
    "rating.score": lambda it: it.rating.score if it.rating else None,
    "rating.scale_min": lambda it: it.rating.scale_min if it.rating else None,
    "rating.scale_max": lambda it: it.rating.scale_max if it.rating else None,
    "rating.level": lambda it: rating_level(it.rating),
}
_OF_CASE: dict[str, Callable[[Any], Any]] = {
    **_COMMON,
    "priority": lambda it: it.priority,
    "department": lambda it: it.department,
    "owner": lambda it: it.owner,
    "status": lambda it: it.status,
    "opened_at": lambda it: it.opened_at,
}
NUMBERS = frozenset({"rating.score", "rating.scale_min", "rating.scale_max"})
_TIMES = frozenset({"occurred_at", "received_at", "opened_at"})

# Fields of few different values: what a condition says about them is remembered.
FEW_VALUES = frozenset(_OF_FEEDBACK | _OF_CASE) - _TIMES - {
    "id", "external_id", "subject", "text", "order_id", "customer.id", "product.batch",
}  # fmt: skip

# The most characters that intake lets a field have; other texts are one line of at most 200.
LONGEST: Mapping[str, int] = MappingProxyType({"text": 20_000, "subject": 500, ATTRIBUTES: 1_000})

# Words that these fields can hold, for lint.
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "kind": get_args(Kind),
        "channel": get_args(Channel),
        "language": get_args(Language),
        "touchpoint": get_args(Touchpoint),
        "severity": get_args(Severity),
        "urgency": get_args(Urgency),
        "priority": get_args(Priority),
        "status": get_args(Status),
        "rating.metric": get_args(Metric),
        "rating.level": LEVELS,
    }
)


def _kinds(getters: Mapping[str, Any]) -> Mapping[str, FieldKind]:
    kinds: dict[str, FieldKind] = {}
    for path in getters:
        kinds[path] = "number" if path in NUMBERS else "time" if path in _TIMES else "text"
    return MappingProxyType(kinds)


FEEDBACK_FIELDS: Mapping[str, FieldKind] = MappingProxyType({**_kinds(_OF_FEEDBACK), ATTRIBUTES: "text"})
CASE_FIELDS: Mapping[str, FieldKind] = _kinds(_OF_CASE)


class _Reading:
    """Values read from an object when asked for; `over` wins (a category found by words, say)."""

    __slots__ = ("_getters", "_it", "_over")

    def __init__(self, it: Any, getters: Mapping[str, Callable[[Any], Any]], over: Mapping[str, Any]) -> None:
        self._it, self._getters, self._over = it, getters, over

    def value(self, path: str) -> Any:
        if path in self._over:
            return self._over[path]
        getter = self._getters.get(path)
        if getter is not None:
            return getter(self._it)
        return self._it.attributes.get(path.removeprefix("attributes."), "")


def feedback_context(feedback: FeedbackReceived, **over: Any) -> Context:
    """What conditions see of a feedback; keywords replace top-level fields, `category="logistics.damage"`."""
    return _Reading(feedback, _OF_FEEDBACK, over)


def opening_context(feedback: FeedbackReceived, **over: Any) -> Context:
    """What `sla.when` sees of the case that a feedback would open; `over` is what was decided for it."""
    new = {"owner": "", "status": "new", "opened_at": feedback.occurred_at}
    return _Reading(feedback, _COMMON, new | over)


def case_context(case: Case, **over: Any) -> Context:
    """What `sla.when` sees: the fields of the case, and those of its feedback that a case keeps."""
    return _Reading(case, _OF_CASE, over)


class Values:
    """A context from a plain mapping of paths; what is not in it is missing. For checks and dry runs."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def value(self, path: str) -> Any:
        return self._values.get(path, None if path in NUMBERS else "")
