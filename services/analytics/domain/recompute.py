"""A figure counted anew from facts, line by line: the plain way that the packed one has to equal."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from services.analytics.domain.figures import Counted, Key, Question, Source
from services.analytics.domain.rows import Row, seconds_since_epoch


@dataclass
class Recount:
    """Counts rows of facts for one question; `counted` says what came of it."""

    question: Question
    _sums: dict[Key, defaultdict[str, list[int]]] = field(default_factory=dict)
    _bins: defaultdict[tuple[Key, int], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def __post_init__(self) -> None:
        self._borders = self.question.borders
        self._sources = {source.tally: source for source in self.question.sources}

    @property
    def tallies(self) -> Collection[str]:
        """Rows of others count for nothing here."""
        return self._sources.keys()

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            source = self._sources.get(row.measure.k)
            if source is not None and self.question.asks_for(row):
                self._count(row, source)

    def counted(self) -> Counted:
        keys = sorted(self._sums)
        names = [f"{source.name}.{c}" for source in self._sources.values()
                 for c in self.question.kpi.counters[source.name]]  # fmt: skip
        names += [self.question.span] if self.question.span else []
        share, places = self.question.rank, {key: place for place, key in enumerate(keys)}
        bins = {
            (places[key], period): percentile(counts, share)
            for (key, period), counts in self._bins.items()
            if share and sum(counts.values())
        }
        whole = sum(self._bins.values(), Counter[int]())
        if share and whole:
            bins[-1, -1] = percentile(whole, share)
        return Counted(keys, {name: [self._sums[key][name] for key in keys] for name in names}, bins)

    def _count(self, row: Row, source: Source) -> None:
        question, measure = self.question, row.measure
        key = tuple(
            source.part if name == question.kpi.part else row.labels.get(name, "") for name in question.by
        )
        period = bisect_right(self._borders, seconds_since_epoch(measure.t)) - 1
        empty = [0] * len(self._borders)
        sums = self._sums.setdefault(key, defaultdict(empty.copy))
        for name, amount in measure.c.items():
            sums[f"{source.name}.{name}"][period] += row.sign * amount
        if question.span.startswith(f"{source.name}."):
            seconds = measure.s.get(question.span.partition(".")[2])
            if seconds is not None:
                sums[question.span][period] += row.sign * seconds[0]
                self._bins[key, period][seconds[1]] += row.sign


def percentile(counts: Counter[int], share: int) -> int:
    """Nearest rank: the bin in which the smallest value lies that at least `share` % do not exceed."""
    rank, seen = -(-sum(counts.values()) * share // 100), 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank and counts[number]:
            return number
    raise ValueError("nothing was counted")
