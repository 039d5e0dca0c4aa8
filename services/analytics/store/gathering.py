"""Lines and sums of many documents put together into what a question asks for, with numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np

from services.analytics.domain.figures import Counted, Key, Question, Source
from services.analytics.domain.rows import seconds_since_epoch
from services.analytics.store.packed import NO_BIN, WEIGHT, Numbers, Table, summed
from services.analytics.store.words import NewWords

_MOST_SUMS = 4_000_000
"""Bins of all keys and periods that are summed at once, in 32 MB."""
ALL = (-1, -1)
"""Stands among places of keys and periods for all of them together."""


class Bins(NamedTuple):
    """Per line: its cell (the place of its key, times the periods, and its period), the bin, and how many."""

    cell: Numbers
    bin: Numbers
    n: Numbers


class Gathering:
    """Adds up tables for one question; `counted` says what came of it."""

    def __init__(self, question: Question, words: NewWords) -> None:
        self._question, self._words = question, words
        self._borders = np.array(question.borders, np.int64)
        self._end = seconds_since_epoch(question.end)
        self._places: dict[Key, int] = {}
        self._sums: dict[str, Numbers] = {}
        """By counter: a row for each place that has been counted, a column for each period."""
        self._bins: list[Bins] = []

    def add_sums(self, table: Table, source: Source) -> None:
        """Add counters (and sums of seconds) of lines or sums."""
        table = self._asked_for(table)
        if not len(table):
            return
        keys, line_key = self._keys(table, source)
        periods = len(self._borders)
        cell = line_key * periods + self._period(table)
        for name, column in table.counters.items():
            if name != WEIGHT:
                sums = summed(column, cell, len(keys) * periods).reshape(len(keys), periods)
                mine = self._sums_of(f"{source.name}.{name}")
                mine[keys] += sums
                self._sums[f"{source.name}.{name}"] = mine

    def add_bins(self, table: Table, source: Source) -> None:
        """Add bins of the span: `bins["bin"]`, and how many in `counters["n"]`."""
        table = self._asked_for(table)
        if not len(table):
            return
        keys, line_key = self._keys(table, source)
        cell = (np.array(keys, np.int64) * len(self._borders))[line_key]
        if len(self._borders) > 1:
            cell += self._period(table)
        self._bins.append(Bins(cell, table.bins["bin"], table.counters["n"]))

    def add_lines(self, table: Table, source: Source) -> None:
        """Add lines, with the bins of their span where one is asked for."""
        self.add_sums(table, source)
        for column in table.bins.values():
            chosen = column != NO_BIN
            lines = table.take(chosen)
            self.add_bins(
                Table(lines.at, lines.codes, {"n": lines.counters[WEIGHT]}, {"bin": column[chosen]}), source
            )

    def counted(self) -> Counted:
        names = [f"{tally}.{c}" for tally, counters in self._question.kpi.counters.items() for c in counters]
        names += [self._question.span] if self._question.span else []
        sums = {name: self._sums_of(name).tolist() for name in names}
        return Counted(list(self._places), sums, self._percentiles() if self._bins else {})

    def _sums_of(self, name: str) -> Numbers:
        """With a row for each place that there is by now."""
        sums = self._sums.get(name)
        if sums is None:
            return np.zeros((len(self._places), len(self._borders)), np.int64)
        return np.pad(sums, ((0, len(self._places) - len(sums)), (0, 0)))

    def _asked_for(self, table: Table) -> Table:
        if not len(table):
            return table
        chosen = np.ones(len(table), bool)
        if table.at.min() < self._borders[0] or table.at.max() >= self._end:
            chosen = (table.at >= self._borders[0]) & (table.at < self._end)
        for dimension, values in self._question.where.items():
            if dimension != self._question.kpi.part:
                chosen &= np.isin(table.codes[dimension], self._words.coded(dimension, values))
        return table if chosen.all() else table.take(chosen)

    def _period(self, table: Table) -> Numbers:
        if len(self._borders) == 1:
            return np.zeros(len(table), np.int64)
        return np.searchsorted(self._borders, table.at, side="right") - 1

    def _keys(self, table: Table, source: Source) -> tuple[list[int], Numbers]:
        """The places of the keys that occur, and for each line which of them it has."""
        by = [name for name in self._question.by if name != self._question.kpi.part]
        if not by:
            return self._placed([], source, 1), np.zeros(len(table), np.int64)
        first, second = table.codes[by[0]], table.codes[by[-1]]
        wide = int(second.max()) + 1
        found, line_key = _numbered(first * wide + second if len(by) == 2 else first)
        codes = [found // wide, found % wide] if len(by) == 2 else [found]
        words = {name: self._words.words(name) for name in by}
        spoken = [
            map(words[name].__getitem__, column.tolist()) for name, column in zip(by, codes, strict=True)
        ]
        return self._placed(spoken, source, len(found)), line_key

    def _placed(self, spoken: Sequence[Iterable[str]], source: Source, keys: int) -> list[int]:
        """The places of so many keys: of each a word by dimension, with the source's part where the question
        is by it."""
        columns = iter(spoken)
        part = self._question.kpi.part
        names = [repeat(source.part, keys) if name == part else next(columns) for name in self._question.by]
        places = self._places
        spoken_keys = zip(*names, strict=True) if names else [()]
        return [places.setdefault(key, len(places)) for key in spoken_keys]

    def _percentiles(self) -> dict[tuple[int, int], int]:
        """Nearest rank per key and period, and of all: where at least `share` % do not exceed."""
        every = self._bins[0]
        if len(self._bins) > 1:
            every = Bins(*(np.concatenate(column) for column in zip(*self._bins, strict=True)))
        return ranked(every, len(self._borders), self._question.rank)


def _numbered(codes: Numbers) -> tuple[Numbers, Numbers]:
    """The codes that occur, and each line's place among them; by a table where the codes are few enough."""
    most = int(codes.max()) + 1
    if most > 4 * len(codes) + 1_000_000:
        found, places = np.unique(codes, return_inverse=True)
        return found, places.astype(np.int64)
    present = np.zeros(most, bool)
    present[codes] = True
    found = np.flatnonzero(present)
    place = np.empty(most, np.int64)
    place[found] = np.arange(len(found))
    return found, place[codes]


def ranked(lines: Bins, periods: int, share: int) -> dict[tuple[int, int], int]:
    """For each key and period that counts anything, and for ALL: the first bin up to which at least `share` %
    lie. Keys are numbered from 0."""
    cell = lines.cell
    cells = int(cell.max()) + 1
    low = int(lines.bin.min())
    wide = int(lines.bin.max()) - low + 1
    at_once = max(1, _MOST_SUMS // wide)
    bins, n, cuts = lines.bin - low, lines.n, [0, len(cell)]
    if cells > at_once:
        order = np.argsort(cell, kind="stable")
        cell, bins, n = cell[order], bins[order], n[order]
        cuts = np.searchsorted(cell, range(0, cells + at_once, at_once)).tolist()
    found: dict[tuple[int, int], int] = {}
    whole = np.zeros((1, wide), np.int64)
    for first, begin, end in zip(range(0, cells, at_once), cuts[:-1], cuts[1:], strict=True):
        rows = min(at_once, cells - first)
        place = (cell[begin:end] - first) * wide + bins[begin:end]
        counts = summed(n[begin:end], place, rows * wide).reshape(rows, wide)
        whole += counts.sum(axis=0)
        some, reached = _reached(counts, share)
        names = zip(((some + first) // periods).tolist(), ((some + first) % periods).tolist(), strict=True)
        found.update(zip(names, (reached + low).tolist(), strict=True))
    for reached in _reached(whole, share)[1].tolist():
        found[ALL] = reached + low
    return found


def _reached(counts: Numbers, share: int) -> tuple[Numbers, Numbers]:
    """The rows of a table of counts by bin that count anything, and of each the bin that `share` % reach."""
    gone = counts.cumsum(axis=1)
    some = np.flatnonzero(gone[:, -1] > 0)
    ranks = -(-gone[some, -1] * share // 100)
    return some, (gone[some] >= ranks[:, None]).argmax(axis=1)
