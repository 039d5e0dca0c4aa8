"""Facts and what they count for: figures move by rows(new fact) less rows(old), in integers (promise P6).

Every fact carries its measures: in which tally (tallies.py) it counts, when, and how much. What is stored
with a fact is what was counted, so that it can be taken back exactly, also by a later version of this code
that would count it differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct, field

Counters = dict[str, int]
Labels = Mapping[str, str]
"""Values of dimensions by name; "" when not known."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3600
DAY = 86_400


class Measure(Struct, frozen=True, omit_defaults=True):
    """What a fact counts for in one tally: at `t`, the counters `c`.

    `s` holds spans: whole seconds and their bin in the sketch that percentiles are read from. `d` are
    labels of its own, where a fact counts for several things; else it has those of the fact.
    """

    k: str
    t: datetime
    c: Counters
    s: dict[str, tuple[int, int]] = field(default_factory=dict)
    d: dict[str, str] | None = None


class Fact(Struct, frozen=True, kw_only=True):
    """Base of all facts: labels `d`, and measures `m`."""

    d: dict[str, str] = field(default_factory=dict)
    m: tuple[Measure, ...] = ()


class Row(NamedTuple):
    """One thing that is counted. `sign` is -1 where it is taken back."""

    sign: int
    measure: Measure
    labels: Labels


def rows(fact: Fact, sign: int = 1) -> Iterator[Row]:
    """Everything that the fact counts for."""
    for measure in fact.m:
        yield Row(sign, measure, fact.d if measure.d is None else measure.d)


def correct(changes: list[Row], old: Fact | None, new: Fact) -> None:
    """Add to `changes` what turns the count of `old` into that of `new`."""
    if old is None:
        changes.extend(rows(new))
    elif old.m == new.m:
        if old.d != new.d:
            moved = [measure for measure in new.m if measure.d is None]
            changes.extend(Row(1, measure, new.d) for measure in moved)
            changes.extend(Row(-1, measure, old.d) for measure in moved)
    else:
        kept = [(row.measure, row.labels) for row in rows(old)]
        for row in rows(new):
            if (row.measure, row.labels) in kept:
                kept.remove((row.measure, row.labels))
            else:
                changes.append(row)
        changes.extend(Row(-1, measure, labels) for measure, labels in kept)


def seconds_since_epoch(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down (negative before)."""
    gone = moment - EPOCH
    return gone.days * DAY + gone.seconds
