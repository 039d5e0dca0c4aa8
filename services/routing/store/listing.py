"""Lists of cases: any filter in any order is a walk along one index, from where the page begins to its end.

An index begins with the fields that lead. Status and priority follow: they have few values, so that MongoDB
merges one walk per value, of each only as many keys as the page needs. Then comes the moment of the order,
and behind it whatever else may be asked, so that what a list leaves out is left out by its key, and only the
page's cases are fetched. A span of openings in the order of changes is sorted by its keys when it is short,
else walked by its days, each in the order of changes (docs/adr/0035, docs/adr/0037).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import prod
from typing import Any, Literal, NamedTuple, TypeVar, get_args
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from services.routing.store.documents import day_of
from shared.events import Case, Priority, Status
from shared.mongo import Document

T = TypeVar("T")
Order = Literal["-opened_at", "opened_at", "priority", "-updated_at"]
ORDERS: Mapping[Order, tuple[str, int]] = {
    "-opened_at": ("opened_at", -1),
    "opened_at": ("opened_at", 1),
    "priority": ("opened_at", 1),
    "-updated_at": ("updated_at", -1),
}
"""Order -> field and direction; the id breaks ties. `priority`: each priority's oldest first."""
_ALL_VALUES = {"status": {"$in": list(get_args(Status))}, "priority": {"$in": list(get_args(Priority))}}
_CUSTOMER, _CUSTOMER_ID = "customer by opened_at and rest", "customer.id"
DAYS = "days by change"
Fields = tuple[str, ...]
_OPENED: Mapping[Fields, Fields] = {
    ("owner",): ("category", "department"),
    ("category", "department"): (),
    ("category",): (),
    ("department",): (),
    (): (),
}
_CHANGED: Mapping[Fields, Fields] = {
    ("owner",): ("category", "department"),
    ("category",): ("department",),
    ("department",): (),
    (): (),
}
"""Per order: the fields that may lead, the first whose all are asked for, and what else may be asked then."""
MERGED = 200
"""Walks that MongoDB merges at most."""
LONG = 8_000
"""Cases from which on a span is walked by its days. To count and sort that many keys takes mongod 23 ms;
among 1,000,000 cases a page of 50 of that many is full after some 6,000 keys, and those of the last day."""
NEWEST = 28
"""Days that are walked first: what changed last was mostly opened in them."""


class Place(NamedTuple):
    """Where a page ended: the last case's priority, its moment in the order, its id."""

    priority: Priority
    at: datetime
    id: UUID

    @classmethod
    def of(cls, case: Case, order: Order) -> Place:
        return cls(case.priority, getattr(case, ORDERS[order][0]), case.id)


class Wanted(NamedTuple):
    """A list: values of fields (of `department` several, as `{"$in": [...]}`), a span of `opened_at` as
    MongoDB says it, the order, and the place after which it goes on."""

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
    by = ("owner", "category", "department")
    keys: dict[str, Fields] = {
        _CUSTOMER: (_CUSTOMER_ID, "opened_at", "_id", "updated_at", "status", "priority", *by),
        DAYS: ("day", "updated_at", "_id", "opened_at", "status", "priority", *by),
    }
    opened, changed = ("opened_at", "_id", "updated_at"), ("updated_at", "_id")
    for lead, rest in _OPENED.items():
        keys[_name(lead, "opened_at")] = (*lead, "status", "priority", *opened, *rest)
    for lead, rest in _CHANGED.items():
        keys[_name(lead, "updated_at")] = (*lead, "status", "priority", *changed, *rest)
    return [IndexModel([(key, ASCENDING) for key in of], name=name) for name, of in keys.items()]


def counted(wanted: Wanted) -> Walk | None:
    """The cases of a list in the order of changes for which no index has what leads and the order, too,
    wherever its page begins, so that they can be counted by their keys; None for any other list."""
    fields = wanted.fields
    if wanted.order != "-updated_at" or {_CUSTOMER_ID, "_id"} & fields.keys():
        return None
    if not wanted.opened and _leading(_OPENED, fields) == _leading(_CHANGED, fields):
        return None
    return _by_keys(wanted, {})


def sorted_by_keys(wanted: Wanted) -> list[list[Walk]]:
    """The questions for a list in the order of changes whose cases are few, to be sorted. Those of the moment
    at which a page begins are asked for by themselves: to leave out what was shown MongoDB fetches all."""
    if wanted.after is None:
        return [[_by_keys(wanted, {})]]
    of_moment = {"updated_at": wanted.after.at, "_id": {"$lt": wanted.after.id}}
    along = _walks(wanted._replace(after=None))
    same = [walk._replace(query={**walk.query, **of_moment}) for walk in along]
    return [same, [_by_keys(wanted, {"updated_at": {"$lt": wanted.after.at}})]]


def _by_keys(wanted: Wanted, place: Document) -> Walk:
    along = _name(_leading(_OPENED, wanted.fields), "opened_at")
    query = _query(wanted._replace(after=None), {**_ALL_VALUES, **wanted.fields, **place})
    return Walk(query, _order(wanted), along)


def ends(wanted: Wanted) -> list[Walk]:
    """The questions for the list's case that was opened last, and for the one opened first."""
    orders: tuple[Order, ...] = ("-opened_at", "opened_at")
    return [walk for order in orders for walk in _walks(wanted._replace(order=order, after=None))]


def days(wanted: Wanted, ends: Sequence[Case]) -> range:
    """On which the list's cases after the place may have been opened; no case changes before it is opened."""
    opened = [day_of(case.opened_at) for case in ends]
    last = max(opened, default=0)
    if wanted.after is not None:
        last = min(last, day_of(wanted.after.at))
    return range(min(opened, default=1), last + 1)


def by_days(wanted: Wanted, days: range) -> Walk:
    """A walk through what was opened on some days, in the order of changes."""
    fields = {**wanted.fields, "day": {"$in": list(days)}}
    return Walk(_query(wanted, fields), _order(wanted), DAYS)


def changed_since(wanted: Wanted, days: range, at: datetime) -> list[Walk]:
    """What was opened on many days and has changed since a moment: so few that they are sorted by their keys.
    Those of the moment at which a page begins are asked for by themselves, as in `sorted_by_keys`."""
    begun = wanted.after
    spans: list[Document] = [{"updated_at": {"$gte": at}}]
    if begun is not None:
        of_moment = {"updated_at": begun.at, "_id": {"$lt": begun.id}}
        spans = [of_moment, {"updated_at": {"$gte": at, "$lt": begun.at}}]
    fields = {**wanted.fields, "day": {"$gte": days.start, "$lt": days.stop}}
    anew = wanted._replace(after=None)
    return [Walk(_query(anew, {**fields, **span}), _order(wanted), DAYS) for span in spans]


def walks(wanted: Wanted) -> Iterator[list[Walk]]:
    """The questions whose answers, one after the other, are the list; some are asked side by side."""
    if wanted.order != "priority" or wanted.after is None:
        yield _walks(wanted)
        return
    begun, asked = wanted.after.priority, wanted.fields.get("priority")
    if asked in (None, begun):
        yield _walks(wanted._replace(fields={**wanted.fields, "priority": begun}))
    if asked is None or asked > begun:
        later = {"priority": {"$gt": begun}, **wanted.fields}
        yield _walks(wanted._replace(fields=later, after=None))


def _walks(wanted: Wanted) -> list[Walk]:
    fields, order = wanted.fields, _order(wanted)
    if "_id" in fields or _CUSTOMER_ID in fields:
        return [Walk(_query(wanted, fields), order, None if "_id" in fields else _CUSTOMER)]
    leads, moment = (_CHANGED, "updated_at") if wanted.order == "-updated_at" else (_OPENED, "opened_at")
    lead = _leading(leads, fields)
    points = {name: every for name, every in _ALL_VALUES.items() if (name, 1) not in order}
    merged = prod(len(every["$in"]) for name, every in points.items() if name not in fields)
    return [
        Walk(_query(wanted, {**points, **part}), order, _name(lead, moment))
        for part in _parts(fields, lead, merged)
    ]


def _order(wanted: Wanted) -> list[tuple[str, int]]:
    moment, direction = ORDERS[wanted.order]
    order = [(moment, direction), ("_id", direction)]
    sorts = wanted.order == "priority" and not isinstance(wanted.fields.get("priority"), str)
    return [("priority", direction), *order] if sorts else order


def _query(wanted: Wanted, fields: Mapping[str, Any]) -> Document:
    query = {**fields, "opened_at": dict(wanted.opened)} if wanted.opened else dict(fields)
    return query if wanted.after is None else query | _beyond(*ORDERS[wanted.order], wanted.after)


def _beyond(moment: str, direction: int, after: Place) -> Document:
    """What comes after a place: the walk begins at its moment, and those of that moment that were shown are
    left out. Not as an $or, for whose parts MongoDB would plan walks of their own."""
    within, shown = ("$gte", "$lte") if direction > 0 else ("$lte", "$gte")
    return {
        "$and": [{moment: {within: after.at}}],
        "$nor": [{moment: after.at, "_id": {shown: after.id}}],
    }


def _leading(leads: Mapping[Fields, Fields], fields: Mapping[str, Any]) -> Fields:
    return next(lead for lead in leads if set(lead) <= fields.keys())


def _parts(fields: Mapping[str, Any], lead: Fields, merged: int) -> Iterator[Mapping[str, Any]]:
    """The fields, for so many departments at a time that not too many walks are merged, when each department
    has `merged` of them."""
    department = fields.get("department")
    if "department" not in lead or not isinstance(department, Mapping):
        yield fields
        return
    for some in _batches(department["$in"], max(1, MERGED // merged)):
        yield {**fields, "department": {"$in": some}}


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _name(lead: Fields, moment: str) -> str:
    """The index by its keys; those that have grown since an earlier version need another name than then."""
    rest = _OPENED[lead] if moment == "opened_at" else _CHANGED[lead]
    change = " and change" if moment == "opened_at" else ""
    return f"{' and '.join(lead) or 'all'} by {moment}{change}{' and rest' if rest else ''}"


RETIRED = (
    *(f"{by} by opened_at" for by in ("all", "owner", "category", "department")),
    "owner by opened_at and change", "owner by updated_at", "category by updated_at", "customer",
    "months by change",
)  # fmt: skip
"""Indexes of earlier versions that nothing walks along any more; each costs every write."""
