"""The fields that conditions may name, and how each is read from a feedback or a case.

A missing text is "", a missing number is null; personal data cannot be named. Nothing is converted until
a condition asks for it, and then only what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
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
CUSTOMER = "customer.id"


class Context(Protocol):
    """Values for conditions. `value` answers every path of the fields that a condition was compiled for."""

    def value(self, path: str) -> Any: ...

    def values(self, paths: Sequence[str]) -> list[Any]: ...


_COMMON: dict[str, Callable[[Any], Any]] = {
    "id": lambda it: str(it.id),
    "source": attrgetter("source"),
    "kind": attrgetter("kind"),
    "channel": attrgetter("channel"),
    "language": attrgetter("language"),
    "subject": attrgetter("subject"),
    "touchpoint": attrgetter("touchpoint"),
    "category": attrgetter("category"),
    "severity": attrgetter("severity"),
    "urgency": attrgetter("urgency"),
    "supplier_id": attrgetter("supplier_id"),
    CUSTOMER: attrgetter(CUSTOMER),
    "customer.tier": attrgetter("customer.tier"),
    "customer.region": attrgetter("customer.region"),
    "product.sku": attrgetter("product.sku"),
    "product.model": attrgetter("product.model"),
    "product.batch": attrgetter("product.batch"),
}
# What a feedback has in common with the case it belongs to (cases.join.same). Not the subject, which a case
# takes from the text where there is none, and no grade, which is judged.
JOINABLE = tuple(sorted(_COMMON.keys() - {"id", "subject", "severity", "urgency"}))
_OF_FEEDBACK: dict[str, Callable[[Any], Any]] = {
    **_COMMON,
    "external_id": attrgetter("external_id"),
    "occurred_at": attrgetter("occurred_at"),
    "received_at": attrgetter("received_at"),
    "text": attrgetter("text"),
    "order_id": attrgetter("order_id"),
    "rating.metric": lambda it: it.rating.metric if it.rating else "",
    "rating.score": lambda it: it.rating.score if it.rating else None,
    "rating.scale_min": lambda it: it.rating.scale_min if it.rating else None,
    "rating.scale_max": lambda it: it.rating.scale_max if it.rating else None,
    "rating.level": lambda it: rating_level(it.rating),
}
_OF_CASE: dict[str, Callable[[Any], Any]] = {
    **_COMMON,
    "priority": attrgetter("priority"),
    "department": attrgetter("department"),
    "owner": attrgetter("owner"),
    "status": attrgetter("status"),
    "opened_at": attrgetter("opened_at"),
}
NUMBERS = frozenset({"rating.score", "rating.scale_min", "rating.scale_max"})
_TIMES = frozenset({"occurred_at", "received_at", "opened_at"})

# Fields of few different values: what a condition says about them is remembered.
FEW_VALUES = frozenset(_OF_FEEDBACK | _OF_CASE) - _TIMES - {
    "id", "external_id", "subject", "text", "order_id", CUSTOMER, "product.batch",
}  # fmt: skip

# The most characters that intake lets a field have; other texts are one line.
LONGEST: Mapping[str, int] = MappingProxyType({"text": 20_000, "subject": 500, ATTRIBUTES: 1_000})
LONGEST_LINE = 200
MOST_ATTRIBUTES, LONGEST_NAME = 50, 64

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

    def values(self, paths: Sequence[str]) -> list[Any]:
        it, getters, over = self._it, self._getters, self._over
        return [
            over[path] if path in over else getters[path](it) if path in getters else self.value(path)
            for path in paths
        ]


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

    def values(self, paths: Sequence[str]) -> list[Any]:
        return [self.value(path) for path in paths]
