"""How often which terms were said: cells per day and language, by category and department, one or neither.

A cell holds at most MOST_TERMS terms. When it outgrows them the rarest half is dropped, and `dropped` grows
by the count of the most frequent of these: no term is counted short by more than that, and none too often.
Up to there counts are exact, and what is taken back is taken back exactly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from pymongo import DeleteOne, ReplaceOne

from services.analytics.domain.rows import EPOCH, Measure, Row
from services.analytics.domain.tallies import MOODS, VOICE
from services.analytics.domain.voice import SEPARATOR
from services.analytics.store.packed import WEIGHT, Packed, columns, pack_numbers, unpack, unpack_numbers
from services.analytics.store.snapshots import snapshot
from shared.mongo import Collection as MongoCollection
from shared.mongo import Database, Document, driver_errors

MOST_TERMS, KEPT_TERMS = 2_000, 1_000
CELLS_AT_ONCE = 1_500
"""In one transaction: MongoDB ends slow ones."""
EVERY = None
"""Instead of a category or department: all of them together."""
_UNIT = "\x1f"


class Line(NamedTuple):
    """What a text says, and about what; lines that are equal are counted together."""

    day: str
    language: str
    category: str
    department: str
    terms: str
    mood: str


class Place(NamedTuple):
    """Where a cell stands; EVERY for what it is not divided by."""

    day: str
    language: str
    category: str | None
    department: str | None

    @property
    def id(self) -> str:
        by = [name for name in ("category", "department") if getattr(self, name) is not None]
        values = [getattr(self, name) for name in by]
        return _UNIT.join((self.day, self.language, "|".join(by), *values))


@dataclass
class Cell:
    """Texts by mood, and terms by the number of texts that have them."""

    moods: Counter[str] = field(default_factory=Counter)
    terms: Counter[str] = field(default_factory=Counter)
    dropped: int = 0

    @property
    def n(self) -> int:
        return sum(self.moods.values())

    def add(self, other: Cell) -> None:
        for mine, theirs in ((self.moods, other.moods), (self.terms, other.terms)):
            for word, count in theirs.items():
                mine[word] += count
        self.dropped += other.dropped

    def bounded(self) -> Cell:
        """Without zeros, and with no more terms than a cell may have; what was taken back early stays."""
        terms = Counter({term: n for term, n in self.terms.items() if n})
        if len(terms) > MOST_TERMS:
            ranked = sorted(terms.items(), key=lambda one: (-one[1], one[0]))
            lost = [(term, n) for term, n in ranked[KEPT_TERMS:] if n > 0]
            self.dropped += lost[0][1] if lost else 0
            for term, _ in lost:
                del terms[term]
        self.terms = terms
        return self

    def pack(self, identity: str) -> Document:
        words = list(self.terms)
        counts = pack_numbers(np.array([self.terms[word] for word in words], np.int64))
        return {"_id": identity, "m": dict(self.moods), "w": words, "c": counts, "x": self.dropped}

    @classmethod
    def unpack(cls, document: Document) -> Cell:
        counts = unpack_numbers(document["c"]).tolist()
        terms = Counter(dict(zip(document["w"], counts, strict=True)))
        return cls(Counter(document["m"]), terms, document["x"])


def lines_of(segments: Iterable[Document]) -> Counter[Line]:
    """What segments say, without what takes each other back."""
    found: Counter[Line] = Counter()
    for segment in segments:
        if (share := segment["t"].get(VOICE.name)) is not None:
            for line, weight in _unpacked(share):
                found[line] += weight
    return Counter({line: weight for line, weight in found.items() if weight})


def _unpacked(share: Packed) -> Iterator[tuple[Line, int]]:
    table = unpack(share, 0, VOICE.dimensions, (*MOODS, WEIGHT), ())
    labels = [[share["k"][name][code] for code in table.codes[name].tolist()] for name in VOICE.dimensions]
    moods = np.argmax(np.abs(np.stack([table.counters[mood] for mood in MOODS])), axis=0).tolist()
    weights = table.counters[WEIGHT].tolist()
    for place, (mood, weight) in enumerate(zip(moods, weights, strict=True)):
        yield Line._make([*(column[place] for column in labels), MOODS[mood]]), weight


def packed(lines: Mapping[Line, int]) -> Packed:
    """Lines as a segment's share again."""
    rows = []
    for line, weight in lines.items():
        labels = dict(zip(VOICE.dimensions, line[:-1], strict=True))
        rows.append(Row(weight, Measure(VOICE.name, EPOCH, {"n": 1, line.mood: 1}), labels))
    return columns(rows, VOICE)


def divided(lines: Mapping[Line, int]) -> tuple[dict[Place, Cell], dict[Line, int]]:
    """The cells that lines count in, and lines that are left for the next time, when there are too many."""
    cells: defaultdict[Place, Cell] = defaultdict(Cell)
    left: dict[Line, int] = {}
    for finest, some in sorted(_by_finest(lines).items()):
        places = _places(finest)
        if len(cells) >= CELLS_AT_ONCE and any(place not in cells for place in places):
            left |= some
            continue
        counted = _counted(some)
        for place in places:
            cells[place].add(counted)
    return dict(cells), left


def _by_finest(lines: Mapping[Line, int]) -> dict[Place, dict[Line, int]]:
    """Lines by the smallest cell that they count in: they are counted there, and cells are summed."""
    found: defaultdict[Place, dict[Line, int]] = defaultdict(dict)
    for line, weight in lines.items():
        found[Place(line.day, line.language, line.category, line.department)][line] = weight
    return found


def _places(finest: Place) -> list[Place]:
    """All cells that what counts in the smallest one counts in."""
    divisions = product((finest.category, EVERY), (finest.department, EVERY))
    return [finest._replace(category=category, department=department) for category, department in divisions]


def _counted(lines: Mapping[Line, int]) -> Cell:
    cell = Cell()
    # nearly all count once: their terms are counted all together, which is ten times faster
    cell.terms.update(SEPARATOR.join([line.terms for line, weight in lines.items() if weight == 1]).split())
    for line, weight in lines.items():
        cell.moods[line.mood] += weight
        for term in line.terms.split() if weight != 1 else ():
            cell.terms[term] += weight
    return cell


async def summed(cells: Mapping[Place, Cell], collection: MongoCollection) -> list[Any]:
    """What is to be written so that the cells are added to what is stored."""
    ids = {place.id: cell for place, cell in cells.items()}
    with driver_errors():
        async for document in collection.find({"_id": {"$in": list(ids)}}):
            ids[document["_id"]].add(Cell.unpack(document))
    writes: list[Any] = []
    for identity, cell in ids.items():
        cell.bounded()
        if cell.terms or any(cell.moods.values()):
            writes.append(ReplaceOne({"_id": identity}, cell.pack(identity), upsert=True))
        else:
            writes.append(DeleteOne({"_id": identity}))
    return writes


class VoiceStore:
    """The reading side."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def said(
        self,
        spans: Sequence[Sequence[date]],
        languages: Collection[str],
        category: str | None,
        departments: Collection[str] | None,
    ) -> list[Cell]:
        """What was said on the days of each span (no day in two), as of one moment, also what is not
        compacted yet. `departments`: None for all."""
        found = [Cell() for _ in spans]
        of: dict[Place, Cell] = {}
        for cell, days in zip(found, spans, strict=True):
            for day, language, department in product(days, languages, departments or (EVERY,)):
                of[Place(day.isoformat(), language, category, department)] = cell
        if departments is not None and not departments:
            return found
        ids = {place.id: cell for place, cell in of.items()}
        async with snapshot(self._database) as session:
            stored = self._database.voice.find({"_id": {"$in": list(ids)}}, session=session)
            async for document in stored:
                ids[document["_id"]].add(Cell.unpack(document))
            pending = self._database.segments.find(
                {"_id": {"$gt": ""}}, {f"t.{VOICE.name}": 1}, session=session
            )
            lines = lines_of([one async for one in pending])
        for finest, some in _by_finest(lines).items():
            counted = _counted(some)
            for place in _places(finest):
                if place in of:
                    of[place].add(counted)
        return found
