"""Cases as two years of work leave them, made without the work, and every list that one may ask of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from typing import Any, get_args

from services.routing.domain.case_file import OPEN_STATUSES, CaseFile
from services.routing.store.documents import case_document
from services.routing.store.listing import ORDERS, Order, Place, Wanted
from shared import ids
from shared.clock import in_milliseconds
from shared.events import Case, Customer, Priority, Status
from shared.mongo import Document

SINCE = datetime(2025, 1, 1, tzinfo=UTC)
YEARS = timedelta(days=700)
DEPARTMENTS, OWNERS, CATEGORIES = 10, 200, 40
CASES_OF_A_CUSTOMER = 5
_STATUS_SHARES = {"closed": 850, "resolved": 40, "merged": 20, "cancelled": 20}
_PRIORITY_SHARES: dict[Priority, int] = {"P1": 5, "P2": 15, "P3": 50, "P4": 30}
_STATUSES: tuple[Status, ...] = get_args(Status)
_ORDERS: tuple[Order, ...] = get_args(Order)
FIELDS = ("status", "priority", "department", "owner", "category", "customer.id")


def cases(count: int, seed: int = 1) -> Iterator[Case]:
    """Cases of two years: most are closed, few are urgent, an owner works for one department."""
    chance = random.Random(seed)
    weights = [_STATUS_SHARES.get(status, 10) for status in _STATUSES]
    for number in range(count):
        owner = chance.randrange(OWNERS)
        opened = SINCE + chance.random() * YEARS
        status = chance.choices(_STATUSES, weights)[0]
        cause = ids.name_id("archive", str(seed), str(number))
        yield Case(
            id=ids.document_id(opened, cause),
            reference=ids.reference(cause),
            version=5,
            status=status,
            priority=chance.choices(tuple(_PRIORITY_SHARES), tuple(_PRIORITY_SHARES.values()))[0],
            severity="medium",
            urgency="medium",
            category=f"c{owner % DEPARTMENTS}.{chance.randrange(CATEGORIES // DEPARTMENTS)}",
            kind="complaint",
            channel="web",
            department=f"d{owner % DEPARTMENTS}",
            owner="" if status in ("new", "reopened") else f"o{owner}",
            customer=Customer(id=f"u{chance.randrange(max(1, count // CASES_OF_A_CUSTOMER))}"),
            subject="The box arrived crushed, and the cups in it were broken",
            reason="damaged goods go to those in logistics who handle damage",
            feedback_ids=(cause,),
            opened_at=in_milliseconds(opened),
            updated_at=in_milliseconds(opened + chance.random() * timedelta(days=30)),
            resolved_at=None if status in OPEN_STATUSES else in_milliseconds(opened + timedelta(days=3)),
        )


def document(case: Case) -> Document:
    return case_document(CaseFile(case))


def all_lists(of: Case, other: Case, deep: bool) -> Iterator[tuple[str, Wanted]]:
    """Every kind of list, with the values of these cases."""
    yield from lists(of, deep)
    yield from long_spans(of, deep)
    yield from apart(of, other, deep)


def lists(of: Case, deep: bool) -> Iterator[tuple[str, Wanted]]:
    """Every filter, every pair, department with status and priority, a span of days: each in every order,
    with the values of this case. `deep`: from this case on, else from the beginning."""
    values: dict[str, Any] = {
        name: of.customer.id if name == "customer.id" else getattr(of, name) for name in FIELDS
    }
    choices: list[tuple[str, ...]] = [(), *((name,) for name in FIELDS), *combinations(FIELDS, 2)]
    choices.append(("department", "status", "priority"))
    for names in choices:
        for order in _ORDERS:
            place = Place.of(of, order) if deep else None
            label = f"{' + '.join(names) or 'no filter'}, {order}"
            yield label, Wanted({name: values[name] for name in names}, {}, order, place)
    days = {"$gte": of.opened_at - timedelta(days=3), "$lt": of.opened_at + timedelta(days=3)}
    for order in _ORDERS:
        yield (
            f"opened_from + opened_to, {order}",
            Wanted({}, days, order, Place.of(of, order) if deep else None),
        )


def long_spans(of: Case, deep: bool) -> Iterator[tuple[str, Wanted]]:
    """What was opened in more than a year, the newest changes first, with each filter and pairs of them."""
    year = timedelta(days=365)
    place = Place.of(of, "-updated_at") if deep else None
    for names in ((), *((name,) for name in FIELDS[:-1]), *combinations(FIELDS[:-1], 2)):
        fields = {name: getattr(of, name) for name in names}
        for label, opened in (
            ("a year", {"$gte": of.opened_at - year / 2, "$lt": of.opened_at + year / 2}),
            ("opened_from", {"$gte": of.opened_at - year}),
            ("opened_to", {"$lt": of.opened_at}),
        ):
            about = " + ".join((label, *names))
            yield f"{about}, -updated_at", Wanted(fields, opened, "-updated_at", place)


def apart(of: Case, other: Case, deep: bool) -> Iterator[tuple[str, Wanted]]:
    """Values that seldom or never meet, each of them frequent; and callers of several departments."""
    choices: list[dict[str, Any]] = [
        {first: getattr(of, first), second: getattr(other, second)}
        for first, second in permutations(("owner", "category", "department"), 2)
    ]
    here = int(of.department[1:])
    for n in (3, 6):
        scope = {"$in": [f"d{(here + more) % DEPARTMENTS}" for more in range(n)]}
        choices += [{"department": scope}, {"department": scope, "status": of.status}]
        choices += [{"department": scope, name: getattr(other, name)} for name in ("owner", "category")]
    for fields in choices:
        names = [
            f"{len(value['$in'])} {name}s" if isinstance(value, dict) else name
            for name, value in fields.items()
        ]
        label, since = f"apart: {' + '.join(names)}", {"$gte": of.opened_at - timedelta(days=365)}
        for order in _ORDERS:
            place = Place.of(of, order) if deep else None
            yield f"{label}, {order}", Wanted(fields, {}, order, place)
        place = Place.of(of, "-updated_at") if deep else None
        yield f"{label} + opened_from, -updated_at", Wanted(fields, since, "-updated_at", place)


def expected(all_cases: list[Case], wanted: Wanted, limit: int) -> list[Case]:
    """The list by looking at every case."""
    moment, direction = ORDERS[wanted.order]

    def rank(case: Case) -> tuple[Any, ...]:
        first = case.priority if wanted.order == "priority" else ""
        return first, getattr(case, moment), case.id

    def fits(case: Case) -> bool:
        values = {"customer.id": case.customer.id}
        same = all(
            values.get(name, getattr(case, name, None))
            in (value["$in"] if isinstance(value, Mapping) else (value,))
            for name, value in wanted.fields.items()
        )
        opened = wanted.opened
        return same and _within(case.opened_at, opened)

    found = sorted(filter(fits, all_cases), key=rank, reverse=direction < 0)
    if wanted.after is not None:
        priority = wanted.after.priority if wanted.order == "priority" else ""
        place = (priority, wanted.after.at, wanted.after.id)
        found = [case for case in found if (rank(case) > place if direction > 0 else rank(case) < place)]
    return found[:limit]


def _within(at: datetime, span: Mapping[str, datetime]) -> bool:
    return ("$gte" not in span or span["$gte"] <= at) and ("$lt" not in span or at < span["$lt"])
