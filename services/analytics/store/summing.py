"""What a compaction sums up, in numpy and without a database: lines of segments to days, chunks and cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from pymongo import InsertOne, ReplaceOne

from services.analytics.domain.figures import SLOT
from services.analytics.domain.rows import DAY
from services.analytics.domain.tallies import TALLIES, VOICE
from services.analytics.store import voice
from services.analytics.store.packed import (
    WEIGHT,
    Packed,
    Sums,
    Table,
    concatenated,
    netted,
    unpack,
)
from services.analytics.store.places import chunk_id, day_id, monday_of
from services.analytics.store.words import NewWords, unpack_shares
from shared.mongo import Document

CHUNK_LINES = 20_000
"""In a chunk that lines are still added to: each time all of them are unpacked and written again. In more of
them more corrections would take back what they correct."""


class Place(NamedTuple):
    """The UTC day of a tally, or its week, by the Monday."""

    tally: str
    day: int


def by_day(
    segments: Sequence[Document], words: NewWords, most: int
) -> tuple[dict[Place, Table], dict[str, Table]]:
    """The lines of segments by the day they count in; those of more than `most` days are left over."""
    now: dict[Place, Table] = {}
    later: dict[str, Table] = {}
    for name, tally in TALLIES.items():
        shares = [segment["t"][name] for segment in segments if name in segment["t"]]
        if not shares:
            continue
        counters = (*tally.counters, *tally.spans, WEIGHT)
        table = netted(unpack_shares(shares, tally.dimensions, counters, tally.spans, words))
        days = table.at // DAY
        chosen = np.unique(days)[: max(0, most - len(now))]
        for day in chosen.tolist():
            now[Place(name, day)] = table.take(days == day)
        left = table.take(~np.isin(days, chosen))
        if len(left):
            later[name] = left
    return now, later


def said(segments: Sequence[Document]) -> tuple[dict[voice.Place, voice.Cell], dict[voice.Line, int]]:
    """What texts say, and what is left over of that."""
    return voice.divided(voice.lines_of(segments))


def left_over(tables: Mapping[str, Table], unsaid: Mapping[voice.Line, int], words: NewWords) -> Document:
    """Lines that are left over as a segment again."""
    shares = {VOICE.name: voice.packed(unsaid)} if unsaid else {}
    for name, table in tables.items():
        kept: dict[str, list[str]] = {}
        for dimension, codes in table.codes.items():
            used, places = np.unique(codes, return_inverse=True)
            all_words = words.words(dimension)
            kept[dimension] = [all_words[code] for code in used.tolist()]
            table.codes[dimension] = places.astype(np.int64)
        packed = table.pack()
        shares[name] = packed | {"k": kept}
    return {"_id": f"left/{uuid4().hex}", "t": shares}


def ids(places: Iterable[Place]) -> list[str]:
    """Of all rollups of these days, or weeks."""
    return [day_id(one.tally, by, one.day) for one in places for by in TALLIES[one.tally].rollups]


def merged(
    now: Mapping[Place, Table], days: Mapping[str, Document], chunks: Mapping[str, Document]
) -> tuple[list[Any], list[Any]]:
    """What is to be written of days, and of chunks."""
    sums: list[Any] = []
    lines: list[Any] = []
    for place, table in now.items():
        begin = place.day * DAY
        for identity, added in _added_to(place, table, days, "h"):
            sums.append(_replacement(identity, v=added.at(begin).pack(begin), h=added.pack(begin)))
        lines += _chunks(place, table, chunks.get(chunk_id(place.tally, place.day, 0)))
    return sums, lines


def by_week(days: Mapping[Place, Table]) -> dict[Place, Table]:
    """The same lines by week, their moments the week's begin."""
    found: dict[Place, list[Table]] = {}
    for place, table in days.items():
        week = monday_of(place.day)
        found.setdefault(Place(place.tally, week), []).append(table.moved(week * DAY))
    return {place: concatenated(tables) for place, tables in found.items()}


def merged_weeks(now: Mapping[Place, Table], weeks: Mapping[str, Document]) -> list[Any]:
    """What is to be written of weeks."""
    return [
        _replacement(identity, v=added.pack(place.day * DAY))
        for place, table in now.items()
        for identity, added in _added_to(place, table, weeks, "v")
    ]


def week(tally: str, by: Sequence[str], monday: int, days: Sequence[Document]) -> Any:
    """A week's sums as its days have them, to be written."""
    begin = monday * DAY
    shares = [Sums.unpack(one["v"], begin, by, TALLIES[tally]) for one in days]
    return _replacement(day_id(tally, by, monday), v=Sums.total(shares).pack(begin))


def _added_to(
    place: Place, table: Table, stored: Mapping[str, Document], form: str
) -> Iterator[tuple[str, Sums]]:
    """Of each rollup its id, and the sums that are stored with those of the table's lines."""
    tally, begin = TALLIES[place.tally], place.day * DAY
    for by in tally.rollups:
        identity = day_id(place.tally, by, place.day)
        added = Sums.of(table, by, SLOT)
        if identity in stored:
            added = Sums.total([Sums.unpack(stored[identity][form], begin, by, tally), added])
        yield identity, added


def _replacement(identity: str, **forms: Packed) -> Any:
    return ReplaceOne({"_id": identity}, {"_id": identity} | forms, upsert=True)


def _chunks(place: Place, table: Table, last: Document | None) -> Iterator[Any]:
    """The chunk that lines are added to has the number 0; a full one is put away under the next number."""
    begin, tally, full = place.day * DAY, TALLIES[place.tally], 0
    if last is not None:
        full = last["full"]
        old = unpack(last, begin, tally.dimensions, (*tally.counters, *tally.spans, WEIGHT), tally.spans)
        if len(old) + len(table) > CHUNK_LINES:
            full += 1
            yield InsertOne(last | {"_id": chunk_id(place.tally, place.day, full)})
        else:
            table = netted(concatenated([old, table]))
    identity = chunk_id(place.tally, place.day, 0)
    yield ReplaceOne({"_id": identity}, {"_id": identity, "full": full} | table.pack(begin), upsert=True)
