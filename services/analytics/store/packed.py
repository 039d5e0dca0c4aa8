"""The packed form of counts: columns of numbers as bytes. The one module that knows it.

Everything that analytics counts is a table: one line per counted thing or sum, with a moment, the codes of
its labels, counters, and bins of spans. A *segment* is what one batch counted, a *chunk* the lines of one
UTC day, a *day* their sums by a dimension or a pair; all three are packed by `pack` and read by `unpack`.
A column is one byte that names its type ("b", "h", "i", "q": 1, 2, 4, 8 bytes) and the little-endian numbers.

`cqm kpi NAME` shows what a shell cannot read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.analytics.domain.figures import SLOT
from services.analytics.domain.rows import Row, seconds_since_epoch
from services.analytics.domain.tallies import Tally

Numbers = NDArray[np.int64]
Packed = dict[str, Any]
WEIGHT = "weight"
"""How often a line counts: 1, -1 where it is taken back, more where equal lines were put together. Its
counters and seconds are multiplied by it already."""
_TYPES = [
    (dtype.char.encode(), dtype, np.iinfo(dtype)) for dtype in map(np.dtype, ("i1", "<i2", "<i4", "<i8"))
]
_DTYPE = {char: dtype for char, dtype, _ in _TYPES} | {b"l": np.dtype("<i8")}


def pack_numbers(numbers: Numbers) -> bytes:
    """A column in the narrowest type that holds it."""
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    for char, dtype, info in _TYPES:
        if info.min <= low and high <= info.max:
            return char + numbers.astype(dtype).tobytes()
    raise OverflowError("a count left 64 bits")


def unpack_numbers(column: bytes) -> Numbers:
    return np.frombuffer(column, _DTYPE[column[:1]], offset=1).astype(np.int64)


@dataclass
class Table:
    """Lines: `at`, seconds since 1970; `codes` of labels by dimension; `counters` and sums of seconds.

    `bins` are those of a line's spans, or NO_BIN. In a table of bins, one line stands for all of a bin.
    """

    at: Numbers
    codes: dict[str, Numbers]
    counters: dict[str, Numbers]
    bins: dict[str, Numbers] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at)

    def take(self, chosen: Any) -> Table:
        """The lines that an index or a mask chooses."""
        return Table(
            self.at[chosen],
            {name: column[chosen] for name, column in self.codes.items()},
            {name: column[chosen] for name, column in self.counters.items()},
            {name: column[chosen] for name, column in self.bins.items()},
        )

    def moved(self, moment: int) -> Table:
        """The same lines, all at one moment."""
        return Table(np.full(len(self), moment, np.int64), self.codes, self.counters, self.bins)

    def pack(self, begin: int = 0) -> Packed:
        """The table as MongoDB keeps it, moments counted from `begin`; columns of nothing but 0 left out."""
        packed: Packed = {"n": len(self), "t": pack_numbers(self.at - begin)}
        packed["d"] = {name: pack_numbers(column) for name, column in self.codes.items()}
        packed["c"] = {name: pack_numbers(column) for name, column in self.counters.items() if column.any()}
        packed["b"] = {name: pack_numbers(column) for name, column in self.bins.items()}
        return packed


def fields(prefix: str, codes: Sequence[str], counters: Sequence[str], *, moments: bool = True) -> Packed:
    """The wanted columns of a packed table that stands at `prefix`, as a projection of MongoDB."""
    names = ["n", *(f"d.{name}" for name in codes), *(f"c.{name}" for name in counters)]
    names += ["t"] if moments else []
    return {f"{prefix}.{name}" if prefix else name: 1 for name in names}


NO_BIN = -2
"""The bin of a line that has no such span; -1 is the bin of no time at all."""


def unpack(
    packed: Packed, begin: int, codes: Sequence[str], counters: Sequence[str], bins: Sequence[str]
) -> Table:
    """The wanted columns of a packed table."""
    return unpack_all([(packed, begin)], codes, counters, bins)


def unpack_all(
    tables: Sequence[tuple[Packed, int]], codes: Sequence[str], counters: Sequence[str], bins: Sequence[str]
) -> Table:
    """The wanted columns of packed tables, each with its begin, one after the other; at least one table.

    Where moments have not been read, all are the begin.
    """
    lengths = [packed["n"] for packed, _ in tables]

    def counts(name: str) -> Numbers:
        stored = zip([packed.get("c", {}).get(name) for packed, _ in tables], lengths, strict=True)
        return _joined([b"b" + bytes(length) if column is None else column for column, length in stored])

    at = np.repeat(_array([begin for _, begin in tables]), lengths)
    if all("t" in packed for packed, _ in tables):
        at += _joined([packed["t"] for packed, _ in tables])
    return Table(
        at,
        {name: _joined([packed["d"][name] for packed, _ in tables]) for name in codes},
        {name: counts(name) for name in counters},
        {name: _joined([packed["b"][name] for packed, _ in tables]) for name in bins},
    )


def _joined(columns: Sequence[bytes]) -> Numbers:
    """Columns one after the other; those of one type at once, for there may be hundreds of short ones."""
    types = {column[:1] for column in columns}
    if len(types) > 1:
        return np.concatenate([unpack_numbers(column) for column in columns])
    return unpack_numbers(types.pop() + b"".join([column[1:] for column in columns]))


def columns(rows: Iterable[Row], tally: Tally) -> Packed:
    """The lines of a batch, packed, with their labels beside them (`k`): a segment's share of one tally."""
    lines = [(row.sign, row.measure, row.labels) for row in rows]
    counters = {
        name: [sign * measure.c.get(name, 0) for sign, measure, _ in lines] for name in tally.counters
    }
    bins = {}
    for name in tally.spans:
        spans = [measure.s.get(name) for _, measure, _ in lines]
        counters[name] = [span[0] * line[0] if span else 0 for span, line in zip(spans, lines, strict=True)]
        bins[name] = [span[1] if span else NO_BIN for span in spans]
    counters[WEIGHT] = [sign for sign, _, _ in lines]
    words: dict[str, list[str]] = {}
    codes = {}
    values = zip(*(_values(labels, tally.dimensions) for _, _, labels in lines), strict=True)
    for name, column in zip(tally.dimensions, values, strict=True):
        words[name] = list(dict.fromkeys(column))
        place = {word: code for code, word in enumerate(words[name])}
        codes[name] = [place[word] for word in column]
    at = [seconds_since_epoch(measure.t) for _, measure, _ in lines]
    table = Table(_array(at), _arrays(codes), _arrays(counters), _arrays(bins))
    return table.pack() | {"k": words}


def _values(labels: Mapping[str, str], dimensions: Sequence[str]) -> tuple[str, ...]:
    try:
        found: tuple[str, ...] = itemgetter(*dimensions)(labels)
        return found  # most have all of them, and all at once is five times faster
    except KeyError:
        return tuple([labels.get(name, "") for name in dimensions])


def concatenated(tables: Sequence[Table]) -> Table:
    """All lines of tables with the same columns; at least one table."""
    first = tables[0]
    return Table(
        np.concatenate([table.at for table in tables]),
        {name: np.concatenate([table.codes[name] for table in tables]) for name in first.codes},
        {name: np.concatenate([table.counters[name] for table in tables]) for name in first.counters},
        {name: np.concatenate([table.bins[name] for table in tables]) for name in first.bins},
    )


def netted(table: Table) -> Table:
    """Without the lines that are taken back by others: a correction leaves nothing behind.

    Lines that are equal but for their weight become one line with the sum of their weights.
    """
    weight = table.counters[WEIGHT]
    each = {name: column // weight for name, column in table.counters.items()}
    keys = [table.at, *table.codes.values(), *table.bins.values(), *each.values()]
    groups, inverse, first = grouped(keys)
    weights = summed(weight, inverse, groups)
    lines = table.take(first)
    lines.counters = {name: column[first] * weights for name, column in each.items()}
    return lines.take(weights != 0)


def grouped(keys: Sequence[Numbers]) -> tuple[int, Numbers, Numbers]:
    """Lines with equal keys belong together: how many groups, each line's group, each group's first line.

    Groups are in the order of their keys. Where all keys together fit 62 bits they are one number, and a
    table of what occurs takes the place of sorting where they are dense.
    """
    key = _as_one(keys)
    if key is None:
        return _sorted(keys)
    if not len(key):
        return 0, key, key
    most = int(key.max()) + 1
    if most > 4 * len(key) + 100_000:
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        return len(first), inverse.astype(np.int64), first.astype(np.int64)
    first_of = np.full(most, -1, np.int64)
    first_of[key[::-1]] = np.arange(len(key) - 1, -1, -1)
    found = np.flatnonzero(first_of >= 0)
    place = np.empty(most, np.int64)
    place[found] = np.arange(len(found))
    return len(found), place[key], first_of[found]


def _as_one(keys: Sequence[Numbers]) -> Numbers | None:
    """The keys as one number, in their order; None where it would not fit."""
    one, wide = np.zeros(len(keys[0]), np.int64), 1
    for key in keys if len(one) else ():
        low, high = int(key.min()), int(key.max())
        wide *= high - low + 1
        if wide >= 2**62:
            return None
        one = one * (high - low + 1) + (key - low)
    return one


def _sorted(keys: Sequence[Numbers]) -> tuple[int, Numbers, Numbers]:
    order = np.lexsort(tuple(reversed(keys)))
    new = np.ones(len(order), bool)
    new[1:] = False
    for key in keys:
        ordered = key[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return int(new.sum()), inverse, order[new]


def summed(column: Numbers, group: Numbers, groups: int) -> Numbers:
    """The column's sum per group, in 64-bit integers."""
    sums = np.zeros(groups, np.int64)
    np.add.at(sums, group, column)
    return sums


@dataclass
class Sums:
    """Lines summed by moment and labels; `bins` per span is a table of its own, of how many per bin."""

    lines: Table
    bins: dict[str, Table]

    @classmethod
    def of(cls, table: Table, by: Sequence[str], slot: int) -> Sums:
        """The sums of a table's lines by some of its labels, with moments rounded down to `slot` seconds."""
        at = table.at // slot * slot
        codes = {name: table.codes[name] for name in by}
        counters = {name: column for name, column in table.counters.items() if name != WEIGHT}
        bins = {}
        for span, column in table.bins.items():
            chosen = column != NO_BIN
            lines = Table(
                at[chosen],
                {name: code[chosen] for name, code in codes.items()},
                {"n": table.counters[WEIGHT][chosen]},
                {"bin": column[chosen]},
            )
            bins[span] = _added(lines)
        return cls(_added(Table(at, codes, counters)), bins)

    @classmethod
    def total(cls, shares: Sequence[Sums]) -> Sums:
        """At least one share."""
        return cls(
            _added(concatenated([share.lines for share in shares])),
            {name: _added(concatenated([share.bins[name] for share in shares])) for name in shares[0].bins},
        )

    def at(self, moment: int) -> Sums:
        """The same, all at one moment."""
        return Sums(
            _added(self.lines.moved(moment)),
            {name: _added(bins.moved(moment)) for name, bins in self.bins.items()},
        )

    def pack(self, begin: int) -> Packed:
        return {
            "l": self.lines.pack(begin),
            "s": {name: bins.pack(begin) for name, bins in self.bins.items()},
        }

    @classmethod
    def unpack(cls, packed: Packed, begin: int, by: Sequence[str], tally: Tally) -> Sums:
        counters = (*tally.counters, *tally.spans)
        spans = {name: unpack(packed["s"][name], begin, by, ("n",), ("bin",)) for name in tally.spans}
        return cls(unpack(packed["l"], begin, by, counters, ()), spans)


def _added(table: Table) -> Table:
    """One line per moment, labels and bins; lines of nothing but 0 are left out."""
    slots = table.at // SLOT  # moments of sums are half hours: as their number they are dense
    groups, inverse, first = grouped([slots, *table.codes.values(), *table.bins.values()])
    sums = {name: summed(column, inverse, groups) for name, column in table.counters.items()}
    lines = Table(
        table.at[first],
        {name: column[first] for name, column in table.codes.items()},
        sums,
        {name: column[first] for name, column in table.bins.items()},
    )
    anything = np.zeros(groups, bool)
    for column in sums.values():
        anything |= column != 0
    return lines.take(anything)


def _array(numbers: Sequence[int]) -> Numbers:
    return np.array(numbers, np.int64)


def _arrays(columns: Mapping[str, Sequence[int]]) -> dict[str, Numbers]:
    return {name: _array(column) for name, column in columns.items()}
