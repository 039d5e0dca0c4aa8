"""Lines and sums of many documents put together into what a question asks for, with numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np

from services.analytics.domain.figures import Counted, Key, Question, Source
from services.analytics.domain.rows import seconds_since_epoch
from services.analytics.store.packed import NO_BIN, WEIGHT, Numbers, Table
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
        self._known: dict[str, Numbers] = {}
        """By part: the place of each code of the one dimension that is asked by, -1 where it has none yet."""
        self._sums: dict[str, Numbers] = {}
        """By counter: a row for each place that has been counted, a column for each period."""
        self._bins: list[Bins] = []

    def add_sums(self, table: Table, source: Source) -> None:
        """Add counters (and sums of seconds) of lines or sums."""
        table = self._asked_for(table)
        if not len(table):
            return
        cell = self._cells(table, source)
        for name, column in table.counters.items():
            if name != WEIGHT:
                np.add.at(self._sums_of(f"{source.name}.{name}").reshape(-1), cell, column)

    def add_bins(self, table: Table, source: Source) -> None:
        """Add bins of the span: `bins["bin"]`, and how many in `counters["n"]`."""
        table = self._asked_for(table)
        if not len(table):
            return
        self._bins.append(Bins(self._cells(table, source), table.bins["bin"], table.counters["n"]))

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
        if sums is None or len(sums) < len(self._places):
            grown = np.zeros((len(self._places), len(self._borders)), np.int64)
            if sums is not None:
                grown[: len(sums)] = sums
            self._sums[name] = sums = grown
        return sums

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

    def _cells(self, table: Table, source: Source) -> Numbers:
        """For each line the place of its key, times the periods, and its period."""
        places = self._places_of(table, source)
        if len(self._borders) == 1:
            return places
        return places * len(self._borders) + np.searchsorted(self._borders, table.at, side="right") - 1

    def _places_of(self, table: Table, source: Source) -> Numbers:
        """For each line the place of its key."""
        by = [name for name in self._question.by if name != self._question.kpi.part]
        if not by:
            return np.full(len(table), self._placed([], source, 1)[0], np.int64)
        if len(by) == 1:
            return self._places_of_codes(by[0], table.codes[by[0]], source)
        first, second = (table.codes[name] for name in by)
        wide = int(second.max()) + 1
        found, number = _numbered(first * wide + second)
        spoken = [
            self._spoken(name, codes) for name, codes in zip(by, (found // wide, found % wide), strict=True)
        ]
        return np.array(self._placed(spoken, source, len(found)), np.int64)[number]

    def _places_of_codes(self, dimension: str, codes: Numbers, source: Source) -> Numbers:
        """The same by one dimension: a code that has occurred is not looked up again."""
        known, most = self._known.get(source.part, np.empty(0, np.int64)), int(codes.max()) + 1
        if len(known) < most:
            known = self._known[source.part] = np.pad(known, (0, most - len(known)), constant_values=-1)
        places = known[codes]
        if places.min() < 0:
            new = np.unique(codes[places < 0])
            known[new] = self._placed([self._spoken(dimension, new)], source, len(new))
            places = known[codes]
        return places

    def _spoken(self, dimension: str, codes: Numbers) -> Iterable[str]:
        return map(self._words.words(dimension).__getitem__, codes.tolist())

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
        return ranked(self._bins, len(self._borders), self._question.rank)


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


def ranked(tables: Sequence[Bins], periods: int, share: int) -> dict[tuple[int, int], int]:
    """For each key and period that counts anything, and for ALL: the first bin up to which at least `share` %
    lie; of the lines of at least one table. Keys are numbered from 0."""
    cells = max(int(table.cell.max()) for table in tables) + 1
    low = min(int(table.bin.min()) for table in tables)
    wide = max(int(table.bin.max()) for table in tables) - low + 1
    found: dict[tuple[int, int], int] = {}
    whole = np.zeros((1, wide), np.int64)
    for first, rows, lines in _some_at_a_time(tables, cells, max(1, _MOST_SUMS // wide)):
        counts = np.zeros(rows * wide, np.int64)
        for table in lines:
            np.add.at(counts, (table.cell - first) * wide + (table.bin - low), table.n)
        by_cell = counts.reshape(rows, wide)
        whole += by_cell.sum(axis=0)
        some, reached = _reached(by_cell, share)
        names = zip(((some + first) // periods).tolist(), ((some + first) % periods).tolist(), strict=True)
        found.update(zip(names, (reached + low).tolist(), strict=True))
    for reached in _reached(whole, share)[1].tolist():
        found[ALL] = reached + low
    return found


def _some_at_a_time(
    tables: Sequence[Bins], cells: int, at_once: int
) -> Iterator[tuple[int, int, Sequence[Bins]]]:
    """So many cells at once: the first of them, how many, and their lines."""
    if cells <= at_once:
        yield 0, cells, tables
        return
    cell, bins, n = (np.concatenate(column) for column in zip(*tables, strict=True))
    order = np.argsort(cell, kind="stable")
    lines = Bins(cell[order], bins[order], n[order])
    cuts = np.searchsorted(lines.cell, range(0, cells + at_once, at_once)).tolist()
    for first, (begin, end) in zip(range(0, cells, at_once), pairwise(cuts), strict=True):
        yield first, min(at_once, cells - first), [Bins(*(column[begin:end] for column in lines))]


def _reached(counts: Numbers, share: int) -> tuple[Numbers, Numbers]:
    """The rows of a table of counts by bin that count anything, and of each the bin that `share` % reach."""
    gone = counts.cumsum(axis=1)
    total = gone[:, -1]
    some = np.flatnonzero(total > 0)
    ranks = -(-total * share // 100)
    return some, (gone >= ranks[:, None]).argmax(axis=1)[some]
