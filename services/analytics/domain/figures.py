"""From counted rows to the figure that people read: a total and its series, from the same rows."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.analytics.domain.catalogue import Kpi, SpanClock, Statistic
from services.analytics.domain.periods import Grain, seconds_since_epoch
from services.analytics.domain.rollups import EPOCH, PART, Counters
from services.analytics.domain.targets import NO_TIME_BIN

QUARTER = 900
"""Seconds: all offsets of today's time zones are multiples of it, so it is as fine as facts are grouped."""
ValueOf = Callable[[int], float]
"""The seconds that a bin of the sketch stands for."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a KPI over [begin, end) in UTC, `by` dimensions, `where` dimension is one of values."""

    kpi: Kpi
    begin: datetime
    end: datetime
    grain: Grain
    zone: ZoneInfo
    starts: Sequence[datetime]
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    statistic: Statistic = "p50"
    clock: SpanClock = "business"

    @property
    def crossed(self) -> list[str]:
        """The dimensions that have to be known of one and the same fact; rollups know one."""
        return sorted({*self.by, *self.where} - {PART})

    @property
    def in_rollups(self) -> bool:
        """Whether the hourly rollups can answer: whole UTC hours and one dimension at most."""
        whole = all((at - EPOCH) % timedelta(hours=1) == timedelta() for at in (*self.starts, self.end))
        return whole and len(self.crossed) < 2

    @property
    def parts(self) -> tuple[str, ...]:
        """The targets asked for, of a KPI that has them."""
        wanted = self.where.get(PART)
        return tuple(part for part in self.kpi.parts if wanted is None or part in wanted)


class TooManyPoints(Exception):
    """The answer would be longer than was allowed."""


class Row(NamedTuple):
    """Counters of a period that starts at `second` since 1970, for one value per dimension of `by`."""

    second: int
    key: tuple[str, ...]
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Point:
    """`value` is null at n = 0; percentiles have no numerator and denominator, counts no denominator."""

    start: datetime
    value: float | int | None
    n: int
    numerator: int | None
    denominator: int | None


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one combination of values; "" stands for "not given"."""

    key: dict[str, str]
    points: list[Point]


def answer(
    question: Question, rows: Iterable[Row], value_of: ValueOf, most: int
) -> tuple[Point, list[Series]]:
    """The total, and per key a point for every period, empty ones too; the largest n first.

    Raises TooManyPoints when that makes more than `most` points.
    """
    borders = [seconds_since_epoch(start) for start in question.starts]
    total: Counters = defaultdict(int)
    found: dict[tuple[str, ...], dict[int, Counters]] = {}
    for second, key, counters in rows:
        place = max(0, bisect_right(borders, second) - 1)
        sums = found.setdefault(key, {}).setdefault(place, defaultdict(int))
        for name, amount in counters.items():
            sums[name] += amount
            total[name] += amount
    if not question.by:
        found.setdefault((), {})
    if len(found) * len(borders) > most:
        raise TooManyPoints
    series = [_series(question, key, places, value_of) for key, places in found.items()]
    series = [one for one in series if not question.by or any(point.n for point in one.points)]
    series.sort(key=lambda one: (-sum(point.n for point in one.points), tuple(one.key.values())))
    return point(question, question.begin, total, value_of), series


def point(question: Question, start: datetime, counters: Mapping[str, int], value_of: ValueOf) -> Point:
    """One figure from the sums of its counters."""
    kpi = question.kpi
    if kpi.denominator is None:
        count = _weighed(kpi.numerator, counters)
        return Point(start, count or None, count, count, None)
    n = _weighed(kpi.denominator, counters)
    if kpi.statistics and question.statistic != "mean":
        share = int(question.statistic[1:])
        return Point(start, _percentile(counters, question.clock, share, n, value_of), n, None, None)
    numerator = counters.get(question.clock, 0) if kpi.statistics else _weighed(kpi.numerator, counters)
    return Point(start, kpi.factor * numerator / n if n else None, n, numerator, n)


def _series(
    question: Question, key: tuple[str, ...], places: Mapping[int, Counters], value_of: ValueOf
) -> Series:
    points = [
        point(question, start, places.get(place, {}), value_of) for place, start in enumerate(question.starts)
    ]
    return Series(dict(zip(question.by, key, strict=True)), points)


def _weighed(weights: Mapping[str, int], counters: Mapping[str, int]) -> int:
    return sum(weight * counters.get(name, 0) for name, weight in weights.items())


def _percentile(
    counters: Mapping[str, int], clock: SpanClock, share: int, n: int, value_of: ValueOf
) -> int | None:
    """Nearest rank: the bin in which the smallest value lies that at least `share` % do not exceed."""
    prefix = f"{clock}:"
    bins = sorted(
        (int(name.removeprefix(prefix)), count) for name, count in counters.items() if name.startswith(prefix)
    )
    rank, seen = -(-n * share // 100), 0
    for number, count in bins:
        seen += count
        if count and seen >= rank:
            return 0 if number == NO_TIME_BIN else round(value_of(number))
    return None
