"""Ordered conditions, first match wins, without asking each: what the plain tests of a condition rule out is
never evaluated (docs/adr/0019-rules-are-an-index.md).

Each condition is a list of ways to hold, each way a conjunction of plain tests with words (reach.py) and
perhaps more. A bit per way: of every field that is tested, the value gives the ways it leaves possible, and
those that all fields leave are looked at in order. A way that is nothing but tests holds; of any other, the
condition itself is asked.

A test agrees with CEL in every case: what CEL cannot compute does not hold, and neither does a test of what
is no text. There is no negation around a test, so one that does not hold never helps its condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shared.policy.expressions import Expression
from shared.policy.fields import FEW_VALUES, Context
from shared.policy.reach import Test, Way, ways

_REMEMBERED = 4096


@dataclass(slots=True)
class _Column:
    """One test at most of each way, all of one field. Ways without a test in it are `free`."""

    path: str
    free: int
    equal: dict[str, int] = field(default_factory=dict)
    prefixes: dict[str, int] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def add(self, way: int, test: Test) -> None:
        self.free &= ~way
        table = self.prefixes if test.prefix else self.equal
        for word in test.words:
            table[word] = table.get(word, 0) | way

    def left(self, value: object) -> int:
        """The ways that this value leaves possible."""
        if not isinstance(value, str):
            return self.free
        left = self._seen.get(value)
        if left is None:
            left = self.free | self.equal.get(value, 0)
            for prefix, some in self.prefixes.items():
                if value.startswith(prefix):
                    left |= some
            if self.path in FEW_VALUES:
                if len(self._seen) >= _REMEMBERED:
                    self._seen.clear()
                self._seen[value] = left
        return left


class FirstMatch:
    """Ordered conditions, first match wins; None is a condition that always holds."""

    def __init__(self, conditions: Sequence[Expression | None]) -> None:
        self.conditions = tuple(conditions)
        found = [(place, one, way) for place, one in enumerate(conditions) for way in _ways(one)]
        self._ways = [(place, None if way.whole else one) for place, one, way in found]
        self._all = (1 << len(found)) - 1
        self._columns = _columns([way for _, _, way in found], self._all)

    def index(self, context: Context) -> int | None:
        """Position of the first condition that holds, None when none does."""
        left = self._all
        for column in self._columns:
            left &= column.left(context.value(column.path))
        refused = -1
        while left:
            first = left & -left
            left ^= first
            place, condition = self._ways[first.bit_length() - 1]
            if condition is None:
                return place
            if place != refused and condition.evaluate(context):
                return place
            refused = place
        return None


def _ways(condition: Expression | None) -> list[Way]:
    """The ways of a condition, those that tests decide alone first."""
    if condition is None:
        return [Way((), whole=True)]
    read = set(condition.paths)
    found = [_understood(way, read) for way in ways(condition.text)]
    return sorted(found, key=lambda way: not way.whole)


def _understood(way: Way, read: set[str]) -> Way:
    """Without what looks like a test and is none of a field: `true == 'x'`."""
    tests = tuple(test for test in way.tests if test.path in read)
    return Way(tests, way.whole and len(tests) == len(way.tests))


def _columns(found: Iterable[Way], everything: int) -> list[_Column]:
    columns: dict[tuple[str, int], _Column] = {}
    for place, way in enumerate(found):
        for number, test in enumerate(way.tests):
            nth = sum(earlier.path == test.path for earlier in way.tests[:number])
            columns.setdefault((test.path, nth), _Column(test.path, everything)).add(1 << place, test)
    return list(columns.values())
