"""Reading figures: day documents, lines where they do not suffice, and what is not compacted yet.

All of one answer is read in one snapshot session: a correction, and a compaction, move counts from one
document to another, and a sum over two moments would be off.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from services.analytics.domain.cases import CaseFact
from services.analytics.domain.catalogue import Kpi
from services.analytics.domain.figures import SLOT, Counted, Question, Source
from services.analytics.domain.rows import DAY, EPOCH, seconds_since_epoch
from services.analytics.domain.tallies import CASE_FACTS, TALLIES
from services.analytics.store import waiting, weeks
from services.analytics.store.documents import fact_of
from services.analytics.store.gathering import Gathering
from services.analytics.store.packed import WEIGHT, Packed, fields, unpack, unpack_all, unpack_numbers
from services.analytics.store.places import (
    FIRST_DAY,
    WEEK,
    chunk_id,
    day_ids,
    day_key,
    day_of_key,
    monday_of,
)
from services.analytics.store.snapshots import snapshot
from services.analytics.store.words import NewWords, Words, unpack_shares
from shared.mongo import Database, Document, Session, driver_errors

FEWEST_WEEKS = 3
"""In a row that are read instead of their days: each row is a question of its own."""
LINES_AT_ONCE = 30_000
OPEN_CASE = {
    "d": 1,
    "open": 1,
    "state.version": 1,
    "state.reference": 1,
    "state.status": 1,
    "state.opened_at": 1,
}
"""What is read of an open case: what its fact cannot be made without, and its age."""


class TooManyFacts(Exception):
    """More facts than are read for one answer lie in the span that was asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which UTC days are read as sums of weeks (Mondays), of days, by half an hour, and line by line; as
    [first, last]."""

    weeks: list[tuple[int, int]]
    days: list[tuple[int, int]]
    slots: list[tuple[int, int]]
    lines: list[tuple[int, int]]


class FigureStore:
    """The reading side, for the API."""

    def __init__(self, database: Database, facts_per_answer: int) -> None:
        self._database = database
        self._words = Words()
        self.facts_per_answer = facts_per_answer

    async def extent(self, kpi: Kpi, session: Session | None = None) -> tuple[datetime, datetime] | None:
        """The whole UTC days that the KPI's counts lie in; None when there are none."""
        if session is None:
            async with self.snapshot() as session:
                return await self.extent(kpi, session)
        days: list[int] = []
        for tally in kpi.tallies:
            span = {"_id": day_ids(tally, ())}
            for order in (1, -1):
                found = self._database.days.find(span, {"_id": 1}, session=session).sort("_id", order)
                days += [day_of_key(one["_id"]) async for one in found.limit(1)]
            async for share in waiting.shares(self._database, tally, ["t"], session):
                at = unpack_numbers(share["t"]) // DAY
                days += [int(at.min()), int(at.max())]
        if not days:
            return None
        return EPOCH + timedelta(days=min(days)), EPOCH + timedelta(days=max(days) + 1)

    async def counted(
        self, question: Question, session: Session | None = None, *, by_weeks: bool = True
    ) -> Counted:
        """The counts that answer the question, as of the session's moment; without `by_weeks` no week is
        read instead of its days. Raises TooManyFacts."""
        if session is None:
            async with self.snapshot() as session:
                return await self.counted(question, session, by_weeks=by_weeks)
        await self._words.read(self._database.words, session)
        words = NewWords(self._words)
        gathering = Gathering(question, words)
        plan = planned(question, by_weeks=by_weeks)
        if plan.weeks and not await weeks.are_whole(self._database, session):
            plan = planned(question, by_weeks=False)
        await self._check_lines(question, plan.lines, session)
        for source in question.sources:
            await self._sums(question, source, ("weeks", "v"), plan.weeks, gathering, session)
            await self._sums(question, source, ("days", "v"), plan.days, gathering, session)
            await self._sums(question, source, ("days", "h"), plan.slots, gathering, session)
            await self._lines(question, source, plan.lines, gathering, session)
            await self._pending(question, source, words, gathering, session)
        return gathering.counted()

    async def open_cases(self, question: Question) -> AsyncGenerator[CaseFact]:
        """The cases that are open now and were opened in the span, with nothing of them but their labels and
        when they were opened. Raises TooManyFacts."""
        query: Document = {"open": True, "state.opened_at": {"$gte": question.begin, "$lt": question.end}}
        query |= {f"d.{name}": {"$in": list(values)} for name, values in question.where.items()}
        seen = 0
        with driver_errors():
            async for document in self._database[CASE_FACTS].find(query, OPEN_CASE):
                seen += 1
                if seen > self.facts_per_answer:
                    raise TooManyFacts
                yield fact_of(document, CaseFact)

    async def _sums(
        self,
        question: Question,
        source: Source,
        kept: tuple[str, str],
        days: Sequence[tuple[int, int]],
        gathering: Gathering,
        session: Session,
    ) -> None:
        """Sums by the dimensions that are asked about. `kept`: in which collection, and in which form, of
        whole weeks or days ("v") or of half hours ("h")."""
        if not days:
            return
        collection, form = kept
        by, counters, bins = question.crossed, _counters(question, source), _span(question, source)
        moments = form != "v"  # there all are the begin, and of a million lines a seventh of what is read
        shown = fields(f"{form}.l", by, counters, moments=moments)
        for name in bins:
            shown |= fields(f"{form}.s.{name}", by, ("n",), moments=moments) | {f"{form}.s.{name}.b": 1}
        found: list[Document] = []
        for first, last in days:  # asked for several spans at once, MongoDB would scan a clustered collection
            query = {"_id": day_ids(source.tally, by, first, last)}
            found += await self._database[collection].find(query, shown, session=session).to_list(None)
        if not found:
            return
        documents = [(one[form], day_of_key(one["_id"]) * DAY) for one in found]
        sums = [(one["l"], begin) for one, begin in documents]
        for some in _some_at_a_time(sums):
            gathering.add_sums(unpack_all(some, by, counters, ()), source)
        for name in bins:
            spans = [(one["s"][name], begin) for one, begin in documents]
            for some in _some_at_a_time(spans):
                gathering.add_bins(unpack_all(some, by, ("n",), ("bin",)), source)

    async def _check_lines(
        self, question: Question, days: Sequence[tuple[int, int]], session: Session
    ) -> None:
        """Raises TooManyFacts when the days, of all tallies, have more lines than are read for one answer."""
        total = 0
        for source in question.sources:
            for first, last in days:
                async for one in self._database.chunks.find(
                    _chunks(source, first, last), {"n": 1}, session=session
                ):
                    total += one["n"]
                    if total > self.facts_per_answer:
                        raise TooManyFacts

    async def _lines(
        self,
        question: Question,
        source: Source,
        days: Sequence[tuple[int, int]],
        gathering: Gathering,
        session: Session,
    ) -> None:
        """The lines of days one by one."""
        by, counters, bins = question.crossed, _counters(question, source), _span(question, source)
        shown = fields("", by, (*counters, WEIGHT)) | {f"b.{name}": 1 for name in bins}
        for first, last in days:
            span = _chunks(source, first, last)
            async for one in self._database.chunks.find(span, shown, session=session):
                day = int(one["_id"].split("/")[1]) - int(day_key(0))
                gathering.add_lines(unpack(one, day * DAY, by, (*counters, WEIGHT), bins), source)

    async def _pending(
        self, question: Question, source: Source, words: NewWords, gathering: Gathering, session: Session
    ) -> None:
        """The lines that are not compacted yet."""
        by, counters, bins = question.crossed, _counters(question, source), _span(question, source)
        wanted = fields("", by, (*counters, WEIGHT)) | {f"b.{name}": 1 for name in bins}
        wanted |= {f"k.{name}": 1 for name in by}
        shares = [one async for one in waiting.shares(self._database, source.tally, wanted, session)]
        if shares:
            gathering.add_lines(unpack_shares(shares, by, (*counters, WEIGHT), bins, words), source)

    def snapshot(self) -> AbstractAsyncContextManager[Session]:
        """A session in which everything is read as of one moment."""
        return snapshot(self._database)


def _some_at_a_time(tables: Sequence[tuple[Packed, int]]) -> Iterator[list[tuple[Packed, int]]]:
    """Short tables together, for each costs a little; long ones apart, for a column of a million numbers is
    fetched from main memory, and from the kernel, again and again."""
    some, lines = list[tuple[Packed, int]](), 0
    for table in tables:
        some.append(table)
        lines += table[0]["n"]
        if lines >= LINES_AT_ONCE:
            yield some
            some, lines = [], 0
    if some:
        yield some


def planned(question: Question, *, by_weeks: bool = True) -> Plan:
    """Sums of days where no period begins inside the day, of weeks where none begins inside many a week; half
    hours where all begin on one; else the lines."""
    if not question.is_kept_ready:
        first, last = _days(question)
        return Plan([], [], [], [(first, last)])
    first, last = _days(question)
    inside: dict[int, bool] = {}
    for border in (*question.borders[-len(question.starts) :], seconds_since_epoch(question.end)):
        if border % DAY:
            day = border // DAY
            inside[day] = inside.get(day, True) and border % SLOT == 0
    if question.kpi.stock:
        first = FIRST_DAY
    cut = sorted(day for day in inside if first <= day <= last)
    whole, start = [], first
    for day in cut:
        if start < day:
            whole.append((start, day - 1))
        start = day + 1
    if start <= last:
        whole.append((start, last))
    begins = [border // DAY for border in question.borders]
    by_week, by_day = _with_weeks(whole, begins) if by_weeks else ([], whole)
    slots, lines = (_runs([day for day in cut if inside[day] is halves]) for halves in (True, False))
    return Plan(by_week, by_day, slots, lines)


def _with_weeks(
    whole: Sequence[tuple[int, int]], begins: Sequence[int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Rows of Mondays whose weeks lie in `whole` and in one period, and all other days; `begins`: days on
    which periods begin."""
    mondays: list[tuple[int, int]] = []
    days: list[tuple[int, int]] = []
    for start, stop in whole:
        left = start
        for monday, behind in _rows_of_weeks([start, *(d for d in begins if start < d <= stop), stop + 1]):
            if left < monday:
                days.append((left, monday - 1))
            mondays.append((monday, behind - WEEK))
            left = behind
        if left <= stop:
            days.append((left, stop))
    return mondays, days


def _rows_of_weeks(cuts: Sequence[int]) -> list[tuple[int, int]]:
    """From the first day of a row of weeks to the day behind it; no week has a cut inside."""
    rows: list[tuple[int, int]] = []
    for first, end in pairwise(cuts):
        monday, behind = monday_of(first + WEEK - 1), monday_of(end)
        if monday < behind:
            before = rows.pop()[0] if rows and rows[-1][1] == monday else monday
            rows.append((before, behind))
    return [(monday, behind) for monday, behind in rows if behind - monday >= FEWEST_WEEKS * WEEK]


def _chunks(source: Source, first: int, last: int) -> Document:
    """The chunks of a tally from the first day to the last, as a condition of MongoDB."""
    begin, end = chunk_id(source.tally, first, 0), chunk_id(source.tally, last + 1, 0)
    return {"_id": {"$gte": begin, "$lt": end}}


def _days(question: Question) -> tuple[int, int]:
    first = FIRST_DAY * DAY if question.kpi.stock else seconds_since_epoch(question.begin)
    return first // DAY, (seconds_since_epoch(question.end) - 1) // DAY


def _runs(days: Sequence[int]) -> list[tuple[int, int]]:
    """Days in a row as [first, last]."""
    found = []
    for _, run in groupby(enumerate(days), key=lambda entry: entry[1] - entry[0]):
        row = [day for _, day in run]
        found.append((row[0], row[-1]))
    return found


def _counters(question: Question, source: Source) -> list[str]:
    """The columns of the source that the figure is made of."""
    tally, counter = question.span.partition(".")[::2]
    seconds = [counter] if tally == source.name else []
    return [*sorted(question.kpi.counters[source.name]), *seconds]


def _span(question: Question, source: Source) -> list[str]:
    """The span whose percentile is asked for, when the source has it."""
    tally, _, name = question.span.partition(".")
    return [name] if question.rank and tally == source.name and name in TALLIES[source.tally].spans else []
