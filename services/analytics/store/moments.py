"""When something counts that a question asks for, as the packed lines say: where to look for its facts.

Facts have one index, by tally and time. Of a filter that one in two hundred fits, two hundred are fetched for
each. The lines of a day are a few MB and say in milliseconds in which seconds there is something to be found.
They may name a second too many (a line that another takes back), and none too few: a fact and its lines are
written in one transaction, and all is read in one snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from services.analytics.domain.figures import Question, Source
from services.analytics.domain.rows import DAY
from services.analytics.domain.tallies import TALLIES
from services.analytics.store import waiting
from services.analytics.store.packed import Numbers, Table, fields, unpack, unpack_all, unpack_numbers
from services.analytics.store.places import chunk_id, day_ids, day_of_key
from services.analytics.store.words import Words
from shared.mongo import Database, Session, driver_errors

FEW = 32
"""One of so many counts, or fewer: then looking for their seconds costs less than fetching all facts."""
DAYS, MORE_DAYS, MOST_DAYS = 2, 4, 64
"""Days whose sums are read at first, so many times more each time, and at most."""
_NONE = np.empty(0, np.int64)


class Piece(NamedTuple):
    """A range of seconds of which all facts are to be looked at, or the single seconds of which those are;
    `a_day`: how much counts on a day, most likely at most."""

    seconds: Sequence[int]
    a_day: int


class _Day(NamedTuple):
    """How much counts on a day in all, and of what is asked for; in whatever the largest counter counts."""

    counted: int
    asked: int


class Moments:
    """Reads day documents, chunks and segments of one database, for questions about single facts."""

    def __init__(self, database: Database) -> None:
        self._database, self._words = database, Words()

    async def of(self, question: Question, start: int, end: int, session: Session) -> AsyncGenerator[Piece]:
        """What of [start, end) is to be looked at, in order."""
        codes = self._words.codes
        if any(value not in codes(name) for name, values in _wanted(question).items() for value in values):
            with driver_errors():
                await self._words.read(self._database.words, session)
        days_waiting: set[int] | None = None
        all_waiting: Numbers | None = None
        at_once = DAYS
        while start < end:
            last, days = await self._days(question, start // DAY, (end - 1) // DAY, at_once, session)
            most = max((day.asked for day in days.values()), default=0)
            for day in (day for day, there in days.items() if there.asked * FEW <= there.counted):
                if days_waiting is None:
                    days_waiting = await self._days_waiting(question, session)
                if day in days_waiting and all_waiting is None:
                    all_waiting = await self._waiting(question, session)
                first, stop = max(start, day * DAY), min(end, (day + 1) * DAY)
                if start < first:
                    yield Piece(range(start, first), most)
                seconds = _NONE if all_waiting is None else all_waiting
                if days[day].asked or day in days_waiting:  # 0 may be for a line of the other sign that waits
                    seconds = np.concatenate([seconds, await self._compacted(question, day, session)])
                found: list[int] = np.unique(seconds[(seconds >= first) & (seconds < stop)]).tolist()
                if found:
                    yield Piece(found, most)
                start = stop
            if start < (stop := min(end, (last + 1) * DAY)):
                yield Piece(range(start, stop), most)
            start, at_once = stop, min(at_once * MORE_DAYS, MOST_DAYS)

    async def _days(
        self, question: Question, first: int, last: int, at_once: int, session: Session
    ) -> tuple[int, dict[int, _Day]]:
        """Up to which day this was read, and the days on which there is anything, in order."""
        counted: dict[int, int] = {}
        for source in question.sources:
            counters = TALLIES[source.tally].counters
            sums = await self._sums(source, (), counters, {}, (first, last), session, at_once)
            if len(sums) == at_once:
                last = min(last, max(sums))
            counted = {day: counted.get(day, 0) + sums.get(day, 0) for day in counted | sums}
        asked = dict.fromkeys(sorted(day for day in counted if day <= last), 0)
        if asked:
            for source in question.sources:
                found = await self._asked_for(question, source, (min(asked), max(asked)), session)
                asked = {day: n + found.get(day, 0) for day, n in asked.items()}
        return last, {day: _Day(counted[day], n) for day, n in asked.items()}

    async def _asked_for(
        self, question: Question, source: Source, days: tuple[int, int], session: Session
    ) -> dict[int, int]:
        """How much there is on each day of what is asked for, at most."""
        wanted = _wanted(question)
        names = tuple(sorted(wanted))
        kept = [names] if names in TALLIES[source.tally].rollups else [(name,) for name in names]
        codes = {name: self._codes(name, values) for name, values in wanted.items()}
        counters = sorted(question.kpi.counters[source.name])
        found = [await self._sums(source, by, counters, codes, days, session) for by in kept]
        return {day: min(sums[day] for sums in found) for day in found[0] if all(day in one for one in found)}

    async def _sums(
        self,
        source: Source,
        by: Sequence[str],
        counters: Sequence[str],
        codes: dict[str, list[int]],
        days: tuple[int, int],
        session: Session,
        at_once: int = 0,
    ) -> dict[int, int]:
        """By day the largest of the counters, over the lines with one of the codes of each dimension; of the
        first `at_once` days that there are (0: of all)."""
        query = {"_id": day_ids(source.tally, by, *days)}
        shown = fields("v.l", by, counters, moments=False)
        sums: dict[int, int] = {}
        with driver_errors():
            cursor = self._database.days.find(query, shown, session=session).sort("_id", 1).limit(at_once)
            async for one in cursor:
                lines = unpack(one["v"]["l"], 0, by, counters, ())
                chosen = np.ones(len(lines), bool)
                for name in by:
                    chosen &= np.isin(lines.codes[name], codes[name])
                sums[day_of_key(one["_id"])] = max(int(lines.counters[n][chosen].sum()) for n in counters)
        return sums

    async def _compacted(self, question: Question, day: int, session: Session) -> Numbers:
        """The seconds that the chunks of a day name."""
        wanted, found = _wanted(question), [_NONE]
        codes = {name: self._codes(name, values) for name, values in wanted.items()}
        for source in question.sources:
            counters = sorted(question.kpi.counters[source.name])
            span = {"$gte": chunk_id(source.tally, day, 0), "$lt": chunk_id(source.tally, day + 1, 0)}
            shown = fields("", tuple(wanted), counters)
            with driver_errors():
                async for one in self._database.chunks.find({"_id": span}, shown, session=session):
                    found.append(_seconds(unpack(one, day * DAY, tuple(wanted), counters, ()), codes))
        return np.concatenate(found)

    async def _days_waiting(self, question: Question, session: Session) -> set[int]:
        """The days on which segments have any lines."""
        found: set[int] = set()
        for source in question.sources:
            with driver_errors():
                async for share in waiting.shares(self._database, source.tally, ["t"], session):
                    found.update((unpack_numbers(share["t"]) // DAY).tolist())
        return found

    async def _waiting(self, question: Question, session: Session) -> Numbers:
        """The seconds that segments name."""
        wanted, found = _wanted(question), [_NONE]
        for source in question.sources:
            counters = sorted(question.kpi.counters[source.name])
            shown = [*fields("", tuple(wanted), counters), *(f"k.{name}" for name in wanted)]
            with driver_errors():
                read = waiting.shares(self._database, source.tally, shown, session)
                shares = [one async for one in read]
            if shares:
                lengths = [one["n"] for one in shares]
                codes = {
                    name: [
                        np.repeat([_code(one["k"][name], value) for one in shares], lengths)
                        for value in values
                    ]
                    for name, values in wanted.items()
                }
                lines = unpack_all([(one, 0) for one in shares], tuple(wanted), counters, ())
                found.append(_seconds(lines, codes))
        return np.concatenate(found)

    def _codes(self, name: str, values: Sequence[str]) -> list[int]:
        known = self._words.codes(name)
        return [known[value] for value in values if value in known]


def _wanted(question: Question) -> dict[str, tuple[str, ...]]:
    """The values by dimension that lines have to have."""
    return {name: values for name, values in question.where.items() if name != question.kpi.part}


def _code(words: Sequence[str], value: str) -> int:
    """The code of a value among a segment's own; -1, which no line has, where it has none."""
    return words.index(value) if value in words else -1


def _seconds(lines: Table, codes: Mapping[str, Sequence[int | Numbers]]) -> Numbers:
    """Of the lines with one of the codes of each dimension that count anything."""
    chosen = np.zeros(len(lines), bool)
    for column in lines.counters.values():
        chosen |= column != 0
    for name, column in lines.codes.items():
        one_of = np.zeros(len(lines), bool)
        for code in codes[name]:
            one_of |= column == code
        chosen &= one_of
    return lines.at[chosen]
