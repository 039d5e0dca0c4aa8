"""Lists of cases: any filter in any order is a walk along one index, from where the page begins to its end.

Status and priority have few values, so an index that has them in front of the order serves a list with and
without them: MongoDB merges one walk per value, of each only as many keys as the page needs. Each such index
exists twice, by opening and by last change. What is left to sort in memory are one customer's cases, and a
span of openings in the order of changes: the keys of that span, not its cases (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from pymongo import ASCENDING, IndexModel

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
_CUSTOMER = "customer"
_MERGED_VALUES = 200 // (len(_STATUSES) * len(_PRIORITIES))


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
        IndexModel([("customer.id", ASCENDING), ("opened_at", ASCENDING), ("_id", ASCENDING)], name=_CUSTOMER)
    ]
    for by in (None, *_BY):
        for moment in ("opened_at", "updated_at"):
            keys = [*([by] if by else []), "status", "priority", moment, "_id"]
            keys += (
                ["updated_at"] if moment == "opened_at" else []
            )  # to put a span in order without its cases
            made.append(IndexModel([(key, ASCENDING) for key in keys], name=_name(by, moment)))
    return made


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
    query: Document = {"status": {"$in": _STATUSES}, "priority": {"$in": _PRIORITIES}, **fields}
    if wanted.opened:
        query["opened_at"] = dict(wanted.opened)
    if after is not None:
        query |= _beyond(moment, direction, after)
    along = "opened_at" if wanted.opened else moment
    hint = None if "_id" in fields else _index(fields, along)
    return Walk(query, [(moment, direction), ("_id", direction)], hint)


def _beyond(moment: str, direction: int, after: Place) -> Document:
    """What comes after a place: the walk begins at its moment, and those of that moment that were shown are
    left out. Not as an $or, for whose parts MongoDB would plan walks of their own."""
    within, shown = ("$gte", "$lte") if direction > 0 else ("$lte", "$gte")
    return {
        "$and": [{moment: {within: after.at}}],
        "$nor": [{moment: after.at, "_id": {shown: after.id}}],
    }


def _index(fields: Mapping[str, Any], moment: str) -> str:
    if "customer.id" in fields:
        return _CUSTOMER
    return _name(next((by for by in _BY if by in fields and _is_few(fields[by])), None), moment)


def _is_few(value: Any) -> bool:
    """Whether one walk per value can be merged with those per status and priority: MongoDB merges 200."""
    return not isinstance(value, Mapping) or len(value["$in"]) <= _MERGED_VALUES


def _name(by: str | None, moment: str) -> str:
    return f"{by or 'all'} by {moment}" + (" and change" if moment == "opened_at" else "")


RETIRED = tuple(f"{by or 'all'} by opened_at" for by in (None, *_BY))
"""Indexes of earlier versions that nothing walks along any more; each costs every write."""
