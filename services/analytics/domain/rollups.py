"""Facts and their counts: a rollup moves by count(new fact) - count(old fact), in integers (promise P6).

Every fact carries what it counts for: per KPI a moment `t` and counters `c`, and its dimensions `d`. What
is stored with a fact is what was added to the rollups, so that it can be taken back exactly, also by a
later version of this code that would count it differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct, field

Counters = dict[str, int]
"""Integers by name. A name such as `business:412` is a bin of a sketch: how many fell into bin 412."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3600
TOTAL = ""
"""The dimension of the rollup that counts everything of its hour."""
PART = "target"
"""The one dimension that crosses all others: its value is part of the rollup's name."""


class Measure(Struct, frozen=True):
    """What a fact counts for in one KPI: when, and how much."""

    t: datetime
    c: Counters


class Fact(Struct, frozen=True, kw_only=True):
    """Base of all facts: dimensions by name ("" when not known) and a measure per KPI."""

    d: dict[str, str] = field(default_factory=dict)
    m: dict[str, Measure] = field(default_factory=dict)


class RollupKey(NamedTuple):
    """One counter document: a KPI, one value of one dimension, one UTC hour (hours since 1970)."""

    kpi: str
    part: str
    dimension: str
    hour: int
    value: str


Deltas = dict[RollupKey, Counters]


def hour_of(moment: datetime) -> int:
    """The UTC hour that `moment` lies in, counted from 1970 (negative before)."""
    return (moment - EPOCH).days * 24 + (moment - EPOCH).seconds // HOUR


def counts(fact: Fact, besides: Fact | None = None) -> Iterator[tuple[RollupKey, Counters]]:
    """Everything that the fact adds to the rollups, besides what `besides` adds there just so."""
    part = fact.d.get(PART, "")
    same = besides.d if besides and besides.m == fact.m and besides.d.get(PART, "") == part else None
    values = [
        (name, value)
        for name, value in fact.d.items()
        if name != PART and (same is None or same.get(name) != value)
    ]
    if same is None:
        values.append((TOTAL, ""))
    for kpi, measure in fact.m.items():
        hour = hour_of(measure.t)
        for dimension, value in values:
            yield RollupKey(kpi, part, dimension, hour, value), measure.c


def correct(deltas: Deltas, old: Fact | None, new: Fact) -> None:
    """Add to `deltas` what turns the count of `old` into that of `new`."""
    for fact, besides, sign in ((old, new, -1), (new, old, 1)):
        if fact is None:
            continue
        for key, counters in counts(fact, besides):
            sums = deltas.setdefault(key, {})
            for name, amount in counters.items():
                sums[name] = sums.get(name, 0) + sign * amount


def without_zeros(deltas: Deltas) -> Deltas:
    """The deltas that change something."""
    changed = {key: {name: n for name, n in sums.items() if n} for key, sums in deltas.items()}
    return {key: sums for key, sums in changed.items() if sums}
