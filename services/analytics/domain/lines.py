"""Rows summed the plain way: one at a time, in dictionaries, by moments, labels and columns.

It is what the packed sums have to equal, so nothing of them is used here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from services.analytics.domain.figures import SLOT, Key
from services.analytics.domain.rows import Row, seconds_since_epoch
from services.analytics.domain.tallies import Tally

Amounts = tuple[tuple[str, int], ...]
"""What a line adds, by column: counters and sums of seconds by their names, bins by `bin_column`."""


class Cell(NamedTuple):
    """One number of a rollup: its moment in seconds since 1970, its labels, and which column."""

    at: int
    key: Key
    column: str


Cells = Counter[Cell]


def bin_column(span: str, number: int) -> str:
    """The column that counts how often a span lies in a bin."""
    return f"{span} in bin {number}"


class Lines:
    """What rows of one tally count for. Equal ones are one line, with how often it counts, and what they have
    in common is kept once: a line takes up to 600 bytes."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._counters, self._spans = frozenset(tally.counters), frozenset(tally.spans)
        self._times: Counter[tuple[int, Key, Amounts]] = Counter()
        self._known: dict[object, object] = {}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, row: Row) -> None:
        """Count a row of the tally."""
        measure = row.measure
        amounts = [(name, n) for name, n in measure.c.items() if name in self._counters]
        for name, (seconds, number) in measure.s.items():
            if name in self._spans:
                amounts += [(name, seconds), (bin_column(name, number), 1)]
        labels = tuple([row.labels.get(name, "") for name in self._tally.dimensions])
        self.count(seconds_since_epoch(measure.t), labels, amounts, row.sign)

    def count(self, at: int, labels: Key, amounts: Iterable[tuple[str, int]], times: int = 1) -> None:
        """Count amounts at a moment, so many times; `labels` in the order of the tally's dimensions."""
        once = self._known.setdefault
        said = tuple([once(one, one) for one in labels])
        kept = tuple([once(one, one) for one in amounts])
        line: Any = (once(at // SLOT, at // SLOT), once(said, said), once(kept, kept))
        self._times[line] += times

    def sums(self, by: Sequence[str], every: int) -> Cells:
        """The sums by some dimensions, of every so many seconds."""
        places = [self._tally.dimensions.index(name) for name in by]
        found = Cells()
        for (at, labels, amounts), times in self._times.items():
            key, start = tuple([labels[place] for place in places]), at * SLOT // every * every
            for column, amount in amounts:
                found[Cell(start, key, column)] += times * amount
        return found


def differing(mine: Cells, theirs: Cells) -> list[Cell]:
    """Where they differ, in order; what is nowhere counted is 0."""
    return sorted(cell for cell in mine.keys() | theirs.keys() if mine[cell] != theirs[cell])
