"""From counts to the figure that people read: a total and its series, from the same counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from services.analytics.domain.catalogue import OPENING, Kpi, SpanClock, Statistic
from services.analytics.domain.periods import Grain
from services.analytics.domain.rows import Row, seconds_since_epoch
from services.analytics.domain.spans import NO_TIME_BIN, ValueOf
from services.analytics.domain.tallies import PAIRS

Key = tuple[str, ...]
SLOT = 1800
"""Seconds that the sums of a day are kept by: borders of hours and days fall on it in most time zones."""


@dataclass(frozen=True, slots=True)
class Source:
    """A tally that a question reads, the name it has in the KPI's formula, and its part."""

    tally: str
    name: str
    part: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a KPI over [begin, end) in UTC, `by` dimensions, `where` dimension is one of values."""

    kpi: Kpi
    begin: datetime
    end: datetime
    grain: Grain
    zone: ZoneInfo
    starts: Sequence[datetime]
    by: Key = ()
    where: Mapping[str, Key] = field(default_factory=dict)
    statistic: Statistic = "p50"
    clock: SpanClock = "business"

    @property
    def borders(self) -> list[int]:
        """Where the periods start, in seconds since 1970; for a stock all time before them is one more."""
        starts = [seconds_since_epoch(start) for start in self.starts]
        return [BEGINNING, *starts] if self.kpi.stock else starts

    @property
    def crossed(self) -> tuple[str, ...]:
        """The dimensions that have to be known of one and the same fact, in the order of the alphabet."""
        return tuple(sorted({*self.by, *self.where} - {self.kpi.part}))

    @property
    def is_kept_ready(self) -> bool:
        """Whether sums by these dimensions are kept; else the lines themselves are read."""
        return len(self.crossed) < 2 or self.crossed in PAIRS

    @property
    def parts(self) -> Key:
        """The parts asked for; of a KPI whose parts must not be mixed, one is meant where none is named. What
        stands apart has to be named."""
        kpi = self.kpi
        wanted = self.where.get(kpi.part) if kpi.part else None
        if wanted is not None:
            return tuple(part for part in kpi.parts if part in wanted)
        if kpi.default_part and kpi.part not in self.by:
            return (kpi.default_part,)
        return tuple(part for part in kpi.parts if part not in kpi.apart)

    @property
    def sources(self) -> list[Source]:
        return [
            Source(self.kpi.tally(name, part), name, part)
            for name in self.kpi.counters
            for part in self.parts
        ]

    def asks_for(self, row: Row) -> bool:
        """Whether a row lies in the span, and has the labels that are asked for."""
        begin = BEGINNING if self.kpi.stock else seconds_since_epoch(self.begin)
        if not begin <= seconds_since_epoch(row.measure.t) < seconds_since_epoch(self.end):
            return False
        return all(
            row.labels.get(name, "") in values for name, values in self.where.items() if name != self.kpi.part
        )

    def share(self, row: Row, name: str) -> tuple[int, int]:
        """What a row of the source `name` adds to n, and to the numerator."""
        kpi, before = self.kpi, row.measure.t < self.begin
        counters = {f"{name}.{counter}": row.sign * n for counter, n in row.measure.c.items()}
        if kpi.stock:
            stock = _weighed(kpi.stock, counters) if before else 0
            now = {} if before else counters
            return stock, _weighed(kpi.numerator, now | {OPENING: stock})
        numerator = _weighed(kpi.numerator, counters)
        return numerator if kpi.denominator is None else _weighed(kpi.denominator, counters), numerator

    @property
    def span(self) -> str:
        """The column of seconds that is asked for; "" for a KPI that is no time."""
        return self.kpi.spans.get(self.clock, "")

    @property
    def rank(self) -> int:
        """The percentile that is asked for; 0 for none. The largest is the hundredth."""
        if self.statistic == "max":
            return 100
        return int(self.statistic[1:]) if self.kpi.statistics and self.statistic.startswith("p") else 0


BEGINNING = -(2**62)


class TooManyPoints(Exception):
    """The answer would be longer than was allowed."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted: per counter ("tally.counter"), for each key and period, in the order of `keys`.

    `bins` has, per (place of key, place of period), the bin in which the percentile lies; the total's is
    under (-1, -1).
    """

    keys: Sequence[Key]
    sums: Mapping[str, Sequence[Sequence[int]]]
    bins: Mapping[tuple[int, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Point:
    """`value` is null at n = 0; percentiles have no numerator and denominator, counts no denominator.

    A provisional point may still change for a reason of the KPI's definition, such as its N days.
    """

    start: datetime
    value: float | int | None
    n: int
    numerator: int | None
    denominator: int | None
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one combination of values; "" stands for "not given"."""

    key: dict[str, str]
    points: list[Point]


def answer(
    question: Question, counted: Counted, value_of: ValueOf, now: datetime, most: int
) -> tuple[Point, list[Series]]:
    """The total, and per key a point for every period, empty ones too; the largest n first.

    Raises TooManyPoints when that makes more than `most` points.
    """
    keys = list(counted.keys) or ([] if question.by else [()])
    if len(keys) * len(question.starts) > most:
        raise TooManyPoints
    ends = [*question.starts[1:], question.end]
    series = []
    for place, key in enumerate(keys):
        lines = _periods(question, counted, place)
        points = [
            _point(question, start, end, line, counted.bins.get((place, n)), value_of, now)
            for n, (start, end, line) in enumerate(zip(question.starts, ends, lines, strict=True))
        ]
        if not question.by or any(point.n or point.numerator for point in points):
            series.append(Series(dict(zip(question.by, key, strict=True)), points))
    series.sort(key=lambda one: (-sum(point.n for point in one.points), tuple(one.key.values())))
    total = _point(
        question, question.begin, question.end, _total(question, counted), counted.bins.get((-1, -1)),
        value_of, now,
    )  # fmt: skip
    return total, series


def _periods(question: Question, counted: Counted, place: int) -> list[dict[str, int]]:
    """The counters of each period of one key, with the stock at its start."""
    if place >= len(counted.keys):
        return [{} for _ in question.starts]
    rows = {name: by_key[place] for name, by_key in counted.sums.items()}
    if not question.kpi.stock:
        return [{name: row[n] for name, row in rows.items()} for n in range(len(question.starts))]
    found, stock = [], 0
    for n in range(len(question.starts)):
        stock += sum(weight * rows[name][n] for name, weight in question.kpi.stock.items())
        found.append({name: row[n + 1] for name, row in rows.items()} | {OPENING: stock})
    return found


def _total(question: Question, counted: Counted) -> dict[str, int]:
    """The counters of all keys and periods, with the stock at the start of the first."""
    kpi = question.kpi
    if not kpi.stock:
        return {name: sum(map(sum, by_key)) for name, by_key in counted.sums.items()}
    total = {name: sum(sum(row[1:]) for row in by_key) for name, by_key in counted.sums.items()}
    stock = {name: sum(row[0] for row in by_key) for name, by_key in counted.sums.items()}
    return total | {OPENING: _weighed(kpi.stock, stock)}


def _point(
    question: Question,
    start: datetime,
    end: datetime,
    counters: Mapping[str, int],
    percentile: int | None,
    value_of: ValueOf,
    now: datetime,
) -> Point:
    """One figure from the sums of its counters."""
    kpi = question.kpi
    provisional = bool(kpi.window) and end + kpi.window > now
    if kpi.denominator is None:
        count = _weighed(kpi.numerator, counters)
        return Point(start, count or None, count, count, None, provisional)
    n = _weighed(kpi.denominator, counters)
    if question.rank:
        seconds = None if percentile is None or not n else seconds_of(percentile, value_of)
        return Point(start, seconds, n, None, None, provisional)
    numerator = counters.get(question.span, 0) if kpi.statistics else _weighed(kpi.numerator, counters)
    value = float(kpi.factor * Fraction(numerator, n)) if n else None
    return Point(start, value, n, numerator, n, provisional)


def seconds_of(number: int, value_of: ValueOf) -> float:
    """The seconds that a bin stands for."""
    return 0 if number == NO_TIME_BIN else value_of(number)


def _weighed(weights: Mapping[str, int], counters: Mapping[str, int]) -> int:
    return sum(weight * counters.get(name, 0) for name, weight in weights.items())
