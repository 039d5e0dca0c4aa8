"""Every sum that is kept, beside what the facts, or the log, say: rollup by rollup, day by day, week by week.

What is kept is read as it is kept: the sums of days by half hours ("h") and as a whole ("v"), those of weeks,
and the lines that are not compacted yet. What they have to be is summed anew (domain/lines.py). One week of
one tally at a time is read as of one moment; in memory are one day's lines and one rollup's sums.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from services.analytics.domain.figures import SLOT, Key
from services.analytics.domain.lines import Cell, Cells, Lines, bin_column, differing
from services.analytics.domain.rows import DAY, EPOCH, Fact, Row, rows, seconds_since_epoch
from services.analytics.domain.tallies import TALLIES, Tally
from services.analytics.store import waiting, weeks
from services.analytics.store.evidence import BY_TIME
from services.analytics.store.packed import NO_BIN, WEIGHT, Packed, Table, unpack, unpack_numbers
from services.analytics.store.places import (
    FIRST_DAY,
    LAST_DAY,
    WEEK,
    all_ids,
    day_id,
    day_ids,
    day_of_key,
    monday_of,
)
from services.analytics.store.words import NewWords, Words, unpack_shares
from shared.mongo import Database, Document, Session, driver_errors

Form = Literal["half_hours", "days", "weeks"]
MOST_LINES = 200_000
"""Of one tally on one day, in some 100 MB at most."""
SUMS_AT_ONCE = 8
"""Documents in one answer of MongoDB."""
Snapshot = Callable[[], AbstractAsyncContextManager[Session]]


class TooBusyADay(Exception):
    """More lines than are held at once count in one tally on one day."""


class Difference(NamedTuple):
    """A sum that is not what it has to be: of which tally, by which dimensions, of which values, in which
    form, from when on, and in which column."""

    tally: str
    by: Key
    key: Key
    form: Form
    start: datetime
    column: str
    kept: int
    recomputed: int


@dataclass
class Compared:
    """`checked` counts the sums that were compared: each a rollup's of one day in one form, or of one week.
    `differing` names up to `most` numbers of those that differ, `wrong` counts these sums."""

    most: int
    checked: int = 0
    wrong: int = 0
    differing: list[Difference] = field(default_factory=list)


class Source(Protocol):
    """What the sums have to equal."""

    async def weeks(self, tally: Tally, known: Sequence[int], session: Session) -> Iterable[int]:
        """The Mondays of weeks in which anything counts, of others than those known (in order)."""

    async def day(self, tally: Tally, day: int, session: Session) -> Lines:
        """What counts on a day."""


@dataclass(frozen=True)
class OfFacts:
    """The facts as they are stored."""

    database: Database

    async def weeks(self, tally: Tally, known: Sequence[int], session: Session) -> list[int]:
        found: list[int] = []
        for before, behind in pairwise([monday_of(FIRST_DAY) - WEEK, *known, monday_of(LAST_DAY) + WEEK]):
            found += [week async for week in self._between(tally, before + WEEK, behind, session)]
        return found

    async def day(self, tally: Tally, day: int, session: Session) -> Lines:
        """Raises TooBusyADay."""
        lines = Lines(tally)
        for collection in tally.collections:
            cursor = self._find(tally, collection, day, day + 1, session).batch_size(2000)
            with driver_errors():
                async for document in cursor:
                    for row in rows(msgspec.convert(document, Fact)):
                        measure = row.measure
                        if measure.k == tally.name and seconds_since_epoch(measure.t) // DAY == day:
                            lines.add(row)
                    if len(lines) > MOST_LINES:
                        raise TooBusyADay
        return lines

    async def _between(self, tally: Tally, first: int, behind: int, session: Session) -> AsyncIterator[int]:
        """Halves what lies between two Mondays as long as there is anything in it: most of it is empty."""
        if first >= behind or not await self._anything(tally, first, behind, session):
            return
        if behind - first == WEEK:
            yield first
            return
        middle = monday_of((first + behind) // 2)
        for half in ((first, middle), (middle, behind)):
            async for week in self._between(tally, *half, session):
                yield week

    async def _anything(self, tally: Tally, first: int, behind: int, session: Session) -> bool:
        with driver_errors():
            found = [
                await self._find(tally, collection, first, behind, session).limit(1).to_list(1)
                for collection in tally.collections
            ]
        return any(found)

    def _find(self, tally: Tally, collection: str, first: int, behind: int, session: Session) -> Any:
        span = {"$gte": _at(first), "$lt": _at(behind)}
        query = {"m": {"$elemMatch": {"k": tally.name, "t": span}}}
        return self.database[collection].find(query, {"d": 1, "m": 1}, session=session, hint=BY_TIME)


class OfRows:
    """Rows that are all in memory, such as those of the log told again."""

    def __init__(self, rows: Callable[[], Iterable[Row]]) -> None:
        self._rows, self._of = rows, ""
        self._days: dict[int, Lines] = {}

    async def weeks(self, tally: Tally, known: Sequence[int], session: Session) -> list[int]:
        held = await asyncio.to_thread(self._held, tally)
        return sorted({monday_of(day) for day in held} - set(known))

    async def day(self, tally: Tally, day: int, session: Session) -> Lines:
        held = await asyncio.to_thread(self._held, tally)
        return held.get(day) or Lines(tally)

    def _held(self, tally: Tally) -> Mapping[int, Lines]:
        """The lines of one tally by day: those of the one that was asked for last."""
        if self._of != tally.name:
            self._of, self._days = tally.name, {}
            for row in self._rows():
                if row.measure.k == tally.name:
                    day = seconds_since_epoch(row.measure.t) // DAY
                    self._days.setdefault(day, Lines(tally)).add(row)
        return self._days


async def compare_all(
    database: Database, source: Source, snapshot: Snapshot, between: tuple[int, int], most: int
) -> Compared:
    """All rollups of all tallies, in the weeks from that of the first to that of the last day.

    `snapshot` opens a session; it is asked for one for each week, so that none has to last for long. Raises
    TooBusyADay.
    """
    comparison = _Comparison(database, source, between, Compared(most))
    for tally in TALLIES.values():
        async with snapshot() as session:
            found = await comparison.weeks(tally, session)
        for monday in found:
            async with snapshot() as session:
                await comparison.week(tally, monday, session)
    return comparison.compared


@dataclass
class _Comparison:
    database: Database
    source: Source
    between: tuple[int, int]
    compared: Compared
    _words: Words = field(default_factory=Words)

    async def weeks(self, tally: Tally, session: Session) -> list[int]:
        """The Mondays of weeks in which anything is kept, waits, or counts."""
        found: set[int] = set()
        with driver_errors():
            for collection in ("days", "weeks"):
                kept = self.database[collection].find(
                    {"_id": all_ids(tally.name)}, {"_id": 1}, session=session
                )
                found |= {monday_of(day_of_key(one["_id"])) async for one in kept}
            async for share in waiting.shares(self.database, tally.name, ["t"], session):
                found |= {monday_of(day) for day in np.unique(unpack_numbers(share["t"]) // DAY).tolist()}
        found.update(await self.source.weeks(tally, sorted(found), session))
        first, last = self.between
        return sorted(monday for monday in found if monday_of(first) <= monday <= last)

    async def week(self, tally: Tally, monday: int, session: Session) -> None:
        """The sums of its days, then its own: they have to be those of its days, with what these lack."""
        waits = await self._waiting(tally, monday, session)
        lacks = {by: Cells() for by in tally.rollups}
        kept_by_day = set[Key]()
        for day in range(monday, monday + WEEK):
            told = await self.source.day(tally, day, session)
            rest, left = waits.get(day) or Lines(tally), set(tally.rollups)
            async for by, document in self._stored("days", tally, day, session):
                kept_by_day.add(by)
                left.discard(by)
                lacks[by].update(await asyncio.to_thread(self._day, tally, by, day, document, told, rest))
            for by in left if told or rest else ():
                lacks[by].update(await asyncio.to_thread(self._day, tally, by, day, {}, told, rest))
        if not await weeks.are_whole(self.database, session):
            return  # nobody reads them before they are
        left = set(tally.rollups)
        async for by, document in self._stored("weeks", tally, monday, session):
            left.discard(by)
            await self._sum_of_days(tally, by, monday, document, lacks[by], session)
        for by in left:
            if by in kept_by_day or lacks[by]:
                await self._sum_of_days(tally, by, monday, {}, lacks[by], session)

    def _day(self, tally: Tally, by: Key, day: int, document: Document, told: Lines, rest: Lines) -> Cells:
        """What the day's sum lacks, with what is not compacted yet."""
        lacks = Cells()
        forms: tuple[tuple[Form, str, int], ...] = (("half_hours", "h", SLOT), ("days", "v", DAY))
        for form, letter, every in forms:
            kept = self._cells(document.get(letter), tally, by, day)
            kept.update(rest.sums(by, every))
            lacks = self._note(form, tally, by, kept, told.sums(by, every))
        return lacks

    async def _sum_of_days(
        self, tally: Tally, by: Key, monday: int, document: Document, lacks: Cells, session: Session
    ) -> None:
        recomputed = lacks.copy()
        span = {"_id": day_ids(tally.name, by, monday, monday + WEEK - 1)}
        with driver_errors():
            async for one in self.database.days.find(span, {"v": 1}, session=session):
                day = day_of_key(one["_id"])
                recomputed.update(await asyncio.to_thread(self._cells, one.get("v"), tally, by, day))
        kept = await asyncio.to_thread(self._cells, document.get("v"), tally, by, monday)
        self._note("weeks", tally, by, _moved(kept, monday * DAY), _moved(recomputed, monday * DAY))

    def _note(self, form: Form, tally: Tally, by: Key, kept: Cells, recomputed: Cells) -> Cells:
        """Compare two sums, and tell where they differ; what the one that is kept lacks."""
        compared, found = self.compared, differing(kept, recomputed)
        compared.checked += 1
        compared.wrong += bool(found)
        for cell in found[: compared.most - len(compared.differing)]:
            start = EPOCH + timedelta(seconds=cell.at)
            compared.differing.append(
                Difference(tally.name, by, cell.key, form, start, cell.column, kept[cell], recomputed[cell])
            )
        return Cells({cell: recomputed[cell] - kept[cell] for cell in found})

    async def _stored(
        self, collection: str, tally: Tally, day: int, session: Session
    ) -> AsyncIterator[tuple[Key, Document]]:
        """What is kept of a day, or of a week by its Monday, by rollup; a few at a time."""
        of = {day_id(tally.name, by, day): by for by in tally.rollups}
        with driver_errors():
            found = self.database[collection].find({"_id": {"$in": list(of)}}, session=session)
            async for document in found.batch_size(SUMS_AT_ONCE):
                yield of[document["_id"]], document

    async def _waiting(self, tally: Tally, monday: int, session: Session) -> dict[int, Lines]:
        """The lines of a week that are not compacted yet, by day. After it all words are known."""
        with driver_errors():
            await self._words.read(self.database.words, session)
            read = waiting.shares(self.database, tally.name, ("n", "t", "d", "c", "b", "k"), session)
            shares = [one async for one in read]
        if not shares:
            return {}
        return await asyncio.to_thread(_lines, tally, shares, monday, NewWords(self._words))

    def _cells(self, form: Packed | None, tally: Tally, by: Key, day: int) -> Cells:
        """A sum as it is kept; nothing where it is not there."""
        found = Cells()
        if form is None:
            return found
        numbers = unpack(form["l"], day * DAY, by, (*tally.counters, *tally.spans), ())
        keys = self._keys(numbers, by)
        for column, amounts in numbers.counters.items():
            for at, key, amount in zip(numbers.at.tolist(), keys, amounts.tolist(), strict=True):
                found[Cell(at, key, column)] += amount
        for span in tally.spans:
            bins = unpack(form["s"][span], day * DAY, by, ("n",), ("bin",))
            numbered = zip(bins.bins["bin"].tolist(), bins.counters["n"].tolist(), strict=True)
            lines = zip(bins.at.tolist(), self._keys(bins, by), numbered, strict=True)
            for at, key, (number, amount) in lines:
                found[Cell(at, key, bin_column(span, number))] += amount
        return found

    def _keys(self, table: Table, by: Key) -> list[Key]:
        """The values of each line."""
        if not by:
            return [()] * len(table)
        columns = []
        for name in by:
            words = self._words.words(name)
            columns.append([_word(words, code) for code in table.codes[name].tolist()])
        return list(zip(*columns, strict=True))


def _word(words: Sequence[str], code: int) -> str:
    """A code that no word has can only come from outside; its line is named, too."""
    return words[code] if 0 <= code < len(words) else f"(no word of the code {code})"


def _lines(tally: Tally, shares: Sequence[Packed], monday: int, words: NewWords) -> dict[int, Lines]:
    """The lines of segments' shares in a week, by day."""
    counters = (*tally.counters, *tally.spans, WEIGHT)
    table = unpack_shares(shares, tally.dimensions, counters, tally.spans, words)
    days = table.at // DAY
    table = table.take((days >= monday) & (days < monday + WEEK))
    spoken = [words.words(name) for name in tally.dimensions]
    codes = [table.codes[name].tolist() for name in tally.dimensions]
    amounts = {name: table.counters[name].tolist() for name in (*tally.counters, *tally.spans)}
    bins = {name: table.bins[name].tolist() for name in tally.spans}
    times = table.counters[WEIGHT].tolist()
    found: dict[int, Lines] = {}
    for line, at in enumerate(table.at.tolist()):
        labels = tuple([of[column[line]] for of, column in zip(spoken, codes, strict=True)])
        adds = [(name, column[line]) for name, column in amounts.items()]
        adds += [
            (bin_column(name, column[line]), times[line])
            for name, column in bins.items()
            if column[line] != NO_BIN
        ]
        found.setdefault(at // DAY, Lines(tally)).count(at, labels, [one for one in adds if one[1]])
    return found


def _moved(cells: Cells, moment: int) -> Cells:
    """The same, all at one moment."""
    found = Cells()
    for cell, amount in cells.items():
        found[cell._replace(at=moment)] += amount
    return found


def _at(day: int) -> datetime:
    """When a day begins, within the years that there are."""
    return EPOCH + timedelta(days=day) if day <= LAST_DAY else datetime.max.replace(tzinfo=UTC)
