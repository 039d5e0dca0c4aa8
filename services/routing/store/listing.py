"""Lists of cases: any filter in any order is a walk along one index, from where the page begins to its end.

Status and priority have few values, so an index that has them in front of the order serves a list with and
without them: MongoDB merges one walk per value, of each only as many keys as the page needs. Each such index
exists twice, by opening and by last change. What is left to sort in memory are one customer's cases, and a
short span of openings in the order of changes: the keys of that span, not its cases. A long one is walked by
its months, each in the order of changes: the more cases it has, the sooner a page is full (docs/adr/0035).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from services.routing.store.documents import month_of
from shared.events import Case, Priority, Status
from shared.mongo import Document

Order = Literal["-opened_at", "opened_at", "priority", "-updated_at"]
ORDERS: Mapping[str, tuple[str, int]] = {
    "-opened_at": ("opened_at", -1),
    "opened_at": ("opened_at", 1),
    "priority": ("opened_at", 1),
    "-updated_at": ("updated_at", -1),
}
"""Order -> field and direction; the id breaks ties. `priority`: each priority's oldest first."""
_STATUSES, _PRIORITIES = list(get_args(Status)), list(get_args(Priority))
_BY = ("owner", "category", "department")
"""Fields with indexes of their own, those with the fewest cases each first."""
_CUSTOMER, _CUSTOMER_ID = "customer", "customer.id"
_MONTHS = "months by change"
_KEYS_BY_MONTH = ("month", "updated_at", "_id", "opened_at", "status", "priority", *_BY)
"""All that a list may ask for stands in the keys, so that only the page's cases are fetched."""
_MERGED = 200
"""Walks that MongoDB merges at most."""
_MERGED_VALUES = _MERGED // (len(_STATUSES) * len(_PRIORITIES))
LONG = 5_000
"""Cases from which on a span is walked by its months. To sort that many keys takes a few milliseconds; among
1,000,000 cases in its months, a page of 50 of that many is full after some 10,000 keys."""


class Place(NamedTuple):
    """Where a page ended: the last case's priority, its moment in the order, its id."""

    priority: Priority
    at: datetime
    id: UUID

    @classmethod
    def of(cls, case: Case, order: Order) -> Place:
        return cls(case.priority, getattr(case, ORDERS[order][0]), case.id)


class Wanted(NamedTuple):
    """A list: values of fields, a span of `opened_at` as MongoDB says it, the order, and the place after
    which it goes on."""

    fields: Mapping[str, Any]
    opened: Mapping[str, datetime]
    order: Order = "-opened_at"
    after: Place | None = None


class Walk(NamedTuple):
    """One question to MongoDB; `hint` is the index to walk along, None: MongoDB chooses."""

    query: Document
    order: list[tuple[str, int]]
    hint: str | None


def indexes() -> list[IndexModel]:
    """What the walks go along."""
    made = [
        IndexModel([(_CUSTOMER_ID, ASCENDING), ("opened_at", ASCENDING), ("_id", ASCENDING)], name=_CUSTOMER),
        IndexModel([(key, ASCENDING) for key in _KEYS_BY_MONTH], name=_MONTHS),
    ]
    for by in (None, *_BY):
        for moment in ("opened_at", "updated_at"):
            keys = [*([by] if by else []), "status", "priority", moment, "_id"]
            # the end of it puts a span in order without its cases
            keys += ["updated_at"] if moment == "opened_at" else []
            made.append(IndexModel([(key, ASCENDING) for key in keys], name=_name(by, moment)))
    return made


def is_span_by_change(wanted: Wanted) -> bool:
    """Whether the list is a span of openings in the order of changes, for which no index has the order."""
    fields = wanted.fields
    return bool(wanted.opened) and wanted.order == "-updated_at" and not {_CUSTOMER_ID, "_id"} & fields.keys()


def span(wanted: Wanted) -> Walk:
    """The cases of a span in the order of their openings, by the keys of an index alone, so that they can be
    counted: of two fields with indexes of their own only the one that leads is asked for."""
    leads = _leading(wanted.fields)
    fields = {name: value for name, value in wanted.fields.items() if name not in _BY or name == leads}
    return _walk(wanted._replace(order="opened_at"), fields, None)


def by_months(wanted: Wanted, first: datetime, last: datetime) -> Walk | None:
    """The walk through the months of a long span; None where it has more of them than MongoDB merges."""
    months = range(month_of(first), month_of(last) + 1)
    if len(months) > _MERGED:
        return None
    query = _query(wanted, dict(wanted.fields), wanted.after) | {"month": {"$in": list(months)}}
    return Walk(query, [("updated_at", -1), ("_id", -1)], _MONTHS)


def walks(wanted: Wanted) -> Iterator[Walk]:
    """The questions whose answers, one after the other, are the list."""
    if wanted.order != "priority":
        yield _walk(wanted, wanted.fields, wanted.after)
        return
    for priority in _PRIORITIES:
        if wanted.fields.get("priority", priority) != priority:
            continue
        begun = wanted.after.priority if wanted.after else _PRIORITIES[0]
        if priority >= begun:
            after = wanted.after if priority == begun else None
            yield _walk(wanted, {**wanted.fields, "priority": priority}, after)


def _walk(wanted: Wanted, fields: Mapping[str, Any], after: Place | None) -> Walk:
    moment, direction = ORDERS[wanted.order]
    query = _query(wanted, {"status": {"$in": _STATUSES}, "priority": {"$in": _PRIORITIES}, **fields}, after)
    along = "opened_at" if wanted.opened else moment
    hint = None if "_id" in fields else _index(fields, along)
    return Walk(query, [(moment, direction), ("_id", direction)], hint)


def _query(wanted: Wanted, fields: Document, after: Place | None) -> Document:
    if wanted.opened:
        fields["opened_at"] = dict(wanted.opened)
    return fields if after is None else fields | _beyond(*ORDERS[wanted.order], after)


def _beyond(moment: str, direction: int, after: Place) -> Document:
    """What comes after a place: the walk begins at its moment, and those of that moment that were shown are
    left out. Not as an $or, for whose parts MongoDB would plan walks of their own."""
    within, shown = ("$gte", "$lte") if direction > 0 else ("$lte", "$gte")
    return {
        "$and": [{moment: {within: after.at}}],
        "$nor": [{moment: after.at, "_id": {shown: after.id}}],
    }


def _index(fields: Mapping[str, Any], moment: str) -> str:
    return _CUSTOMER if _CUSTOMER_ID in fields else _name(_leading(fields), moment)


def _leading(fields: Mapping[str, Any]) -> str | None:
    """The field along whose index a list is walked; None: along all cases."""
    return next((by for by in _BY if by in fields and _is_few(fields[by])), None)


def _is_few(value: Any) -> bool:
    """Whether one walk per value can be merged with those per status and priority: MongoDB merges 200."""
    return not isinstance(value, Mapping) or len(value["$in"]) <= _MERGED_VALUES


def _name(by: str | None, moment: str) -> str:
    return f"{by or 'all'} by {moment}" + (" and change" if moment == "opened_at" else "")


RETIRED = tuple(f"{by or 'all'} by opened_at" for by in (None, *_BY))
"""Indexes of earlier versions that nothing walks along any more; each costs every write."""
