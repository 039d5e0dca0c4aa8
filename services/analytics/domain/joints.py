"""Joint facts: what several events say together, whatever the order in which they come.

A joint gathers, under one key, the parts that belong together (an order and the complaints about it, the
cases of one customer and category, ...), and what it counts for is a pure function of its parts. Whoever
hears of a part writes the joint's document, so two replicas that hear of two parts at once meet there, and
MongoDB lets one of them look again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field, structs

from services.analytics.domain.facts import Outcome
from services.analytics.domain.rows import Counters, Fact, Measure, correct
from services.analytics.domain.tallies import BUSINESS, JOINT_FACTS

REPEAT_WITHIN = timedelta(days=7)
"""A case of the same customer and category that soon after a resolution is a repeated contact."""
SECOND_ORDER_WITHIN = timedelta(days=90)
ANSWER_WITHIN = timedelta(days=30)
MOST_PARTS = 10_000
"""Of one key, the earliest. Beyond it a document would outgrow MongoDB."""
_SEPARATOR = "\x1f"


class Part(Struct, frozen=True, omit_defaults=True):
    """One event's share: when, how many, its labels; a case's `end` is its first resolution."""

    kind: str
    at: datetime
    n: int = 1
    d: dict[str, str] = field(default_factory=dict)
    end: datetime | None = None


class JointFact(Fact, frozen=True, kw_only=True):
    """`id` is KIND/KEY; the parts stand by the id of what they come from."""

    id: str = field(name="_id")
    parts: dict[str, Part] = field(default_factory=dict)


class Told(NamedTuple):
    """A part of a joint as it is now; None: it does not belong there any more."""

    joint: str
    name: str
    part: Part | None


Numbered = Sequence[Part]


def order(order_id: str) -> str:
    """An order and the complaints about it."""
    return f"order/{order_id}"


def goods_of_order(order_id: str) -> str:
    """What was shipped of an order, and what of it came back."""
    return f"goods/{order_id}"


def goods_of_customer(customer_id: str, sku: str) -> str:
    """What a customer was shipped of a product, and what came back without naming its order."""
    return f"goods/{_SEPARATOR}{customer_id}{_SEPARATOR}{sku}"


def customer(customer_id: str) -> str:
    """A customer's first orders, and when they joined and left."""
    return f"customer/{customer_id}"


def survey(customer_id: str) -> str:
    """The surveys that a customer was sent, and their answers."""
    return f"survey/{customer_id}"


def thread(customer_id: str, category: str) -> str:
    """The cases of one customer and category."""
    return f"thread/{category}{_SEPARATOR}{customer_id}"


def name_of(event_id: UUID) -> str:
    return event_id.hex


def merge(known: Mapping[str, JointFact], told: Iterable[Told], outcome: Outcome) -> None:
    """Put the parts into their joints, and into `outcome` what changes by that."""
    latest = dict(known)
    changed: set[str] = set()
    for joint, name, part in told:
        old = latest.get(joint) or JointFact(id=joint)
        if old.parts.get(name) == part:
            continue
        parts = {other: kept for other, kept in old.parts.items() if other != name}
        latest[joint] = structs.replace(old, parts=parts if part is None else parts | {name: part})
        changed.add(joint)
    for joint in sorted(changed):
        stored, fact = known.get(joint), _counted(latest[joint])
        if stored is not None and fact == stored:  # the part was one too many
            latest[joint] = stored
        else:
            latest[joint] = fact
            correct(outcome.rows, stored, fact)
    outcome.keep(JOINT_FACTS, known, latest)


def business(labels: Mapping[str, str]) -> dict[str, str]:
    """Those labels that business is counted by."""
    return {name: labels.get(name, "") for name in BUSINESS}


def _counted(fact: JointFact) -> JointFact:
    kind = fact.id.partition("/")[0]
    named = sorted(fact.parts.items(), key=lambda entry: (entry[1].at, entry[0]))[:MOST_PARTS]
    if kind == "customer":
        named = _first_two_orders(named)
    measures = tuple(_COUNT[kind]([part for _, part in named]))
    return structs.replace(fact, parts=dict(named), m=measures)


def _first_two_orders(named: list[tuple[str, Part]]) -> list[tuple[str, Part]]:
    """Later orders change no figure; which are the first two does not depend on the order of arrival."""
    orders = [name for name, part in named if part.kind == "order"][2:]
    return [(name, part) for name, part in named if name not in orders]


def _measure(tally: str, part: Part, counters: Counters) -> Measure:
    return Measure(tally, part.at, {name: n for name, n in counters.items() if n}, d=part.d)


def _order(parts: Numbered) -> list[Measure]:
    """Complaints count at the date of the order they name; as long as it is not known, at their own."""
    orders = [part for part in parts if part.kind == "order"]
    complaints = [part for part in parts if part.kind == "complaint"]
    if not orders:
        return [_measure("orders", part, {"complaints": 1}) for part in complaints]
    first, *others = orders
    counted = [_measure("orders", first, {"n": 1, "complaints": len(complaints)})]
    return counted + [_measure("orders", part, {"n": 1}) for part in others]


def _goods(parts: Numbered) -> list[Measure]:
    """A return or repair belongs to the last shipment of its sku before it, else to the first; where none was
    of its sku, to any. A shipment that is counted with its order (`ordered`) is here for what comes back."""
    shipments = [part for part in parts if part.kind in ("shipment", "ordered")]
    by_sku = defaultdict[str, list[int]](list)
    for place, shipment in enumerate(shipments):
        by_sku[_sku(shipment)].append(place)
    back: list[Counters] = [{"returned": 0, "repaired": 0} for _ in shipments]
    for part in parts:
        if part.kind in ("return", "repair") and shipments:
            places = by_sku.get(_sku(part)) or range(len(shipments))
            earlier = bisect_right(places, part.at, key=lambda place: shipments[place].at)
            back[places[max(0, earlier - 1)]]["returned" if part.kind == "return" else "repaired"] += part.n
    measures = [
        _measure("units", one, {"shipped": one.n if one.kind == "shipment" else 0} | counters)
        for one, counters in zip(shipments, back, strict=True)
    ]
    return [measure for measure in measures if measure.c]


def _sku(part: Part) -> str:
    return part.d.get("sku", "")


def _customer(parts: Numbered) -> list[Measure]:
    measures, active = [], False
    for part in parts:
        if part.kind in ("signup", "renewal") and not active:
            measures.append(_measure("customers", part, {"joined": 1}))
            active = True
        elif part.kind == "churn" and active:
            measures.append(_measure("customers", part, {"lost": 1}))
            active = False
    orders = [part for part in parts if part.kind in ("order", "repurchase")]
    if orders:
        again = len(orders) > 1 and orders[1].at - orders[0].at <= SECOND_ORDER_WITHIN
        measures.append(_measure("buyers", orders[0], {"n": 1, "again": int(again)}))
    return measures


def _survey(parts: Numbered) -> list[Measure]:
    """An answer belongs to the last survey sent before it, when that was not too long ago."""
    sent = [part for part in parts if part.kind == "sent"]
    moments = [one.at for one in sent]
    answered = [0] * len(sent)
    for part in parts:
        place = bisect_right(moments, part.at) - 1
        if part.kind == "answer" and place >= 0 and part.at - sent[place].at <= ANSWER_WITHIN:
            answered[place] = 1
    return [
        _measure("surveys", one, {"sent": 1, "answered": flag})
        for one, flag in zip(sent, answered, strict=True)
    ]


def _thread(parts: Numbered) -> list[Measure]:
    """Resolved cases; solved at the first contact, when the customer said it once and did not come again."""
    measures, opened = [], [part.at for part in parts]
    for part in parts:
        if part.end is not None:
            again = bisect_right(opened, part.end) < bisect_right(opened, part.end + REPEAT_WITHIN)
            resolved = structs.replace(part, at=part.end)
            first = int(part.n == 1 and not again)
            measures.append(_measure("first_contact", resolved, {"n": 1, "first": first}))
    return measures


_COUNT: dict[str, Callable[[Numbered], list[Measure]]] = {
    "order": _order,
    "goods": _goods,
    "customer": _customer,
    "survey": _survey,
    "thread": _thread,
}
