"""The values of dimensions as numbers: append-only lists, in which a value's place is its code for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from services.analytics.domain.tallies import TALLIES
from services.analytics.store.packed import Numbers, Packed, Table, unpack_all
from shared.mongo import Collection, Session

DIMENSIONS = sorted({name for tally in TALLIES.values() for name in tally.dimensions})
BUCKET = 4000
"""Values in one document; with the longest that intake takes it stays under 16 MB."""


class Words:
    """What is known of the lists. Codes never change, so knowing too little is the only way to be behind."""

    def __init__(self) -> None:
        self._of: dict[str, list[str]] = {}
        self._codes: dict[str, dict[str, int]] = {}

    async def read(self, collection: Collection, session: Session | None = None) -> None:
        """Learn what has been added since; costs one small query when nothing was."""
        tails = [
            {"_id": {"$gte": _id(name, len(self.words(name)) // BUCKET), "$lt": _id(name, None)}}
            for name in DIMENSIONS
        ]
        found = await collection.find({"$or": tails}, session=session).sort("_id", 1).to_list(None)
        for document in found:
            self._learn(document["d"], document["b"], document["v"])

    def words(self, dimension: str) -> Sequence[str]:
        return self._of.get(dimension, ())

    def codes(self, dimension: str) -> Mapping[str, int]:
        return self._codes.get(dimension, {})

    def _learn(self, dimension: str, bucket: int, values: Sequence[str]) -> None:
        words = self._of.setdefault(dimension, [])
        codes = self._codes.setdefault(dimension, {})
        for word in values[len(words) - bucket * BUCKET :]:
            codes[word] = len(words)
            words.append(word)


class NewWords:
    """Codes for what a transaction meets: known ones, and new ones that it has to add."""

    def __init__(self, known: Words) -> None:
        self._known = known
        self._new: dict[str, dict[str, int]] = {}

    def coded(self, dimension: str, words: Iterable[str]) -> Numbers:
        """The code of each word."""
        known, new = self._known.codes(dimension), self._new.setdefault(dimension, {})
        first, words = len(known), list(words)
        found: list[int | None] = list(map(known.get, words))
        if None in found:
            found = [
                new.setdefault(word, first + len(new)) if code is None else code
                for word, code in zip(words, found, strict=True)
            ]
        return np.array(found, np.int64)

    def words(self, dimension: str) -> Sequence[str]:
        """All of them, the new ones last."""
        return [*self._known.words(dimension), *self._new.get(dimension, ())]

    async def add(self, collection: Collection, session: Session) -> None:
        """Append the new ones to the stored lists."""
        for dimension, words in self._new.items():
            code, waiting = len(self._known.words(dimension)), list(words)
            while waiting:
                bucket, room = code // BUCKET, BUCKET - code % BUCKET
                now, waiting = waiting[:room], waiting[room:]
                await collection.update_one(
                    {"_id": _id(dimension, bucket)},
                    {"$push": {"v": {"$each": now}}, "$set": {"d": dimension, "b": bucket}},
                    upsert=True,
                    session=session,
                )
                code += len(now)


def unpack_shares(
    shares: Sequence[Packed],
    codes: Sequence[str],
    counters: Sequence[str],
    bins: Sequence[str],
    words: NewWords,
) -> Table:
    """The wanted columns of segments' shares, one after the other, with the codes of all instead of those
    that each share has for its own words; at least one share."""
    table = unpack_all([(share, 0) for share in shares], codes, counters, bins)
    lengths = [share["n"] for share in shares]
    for name, column in table.codes.items():
        own = [share["k"][name] for share in shares]
        begins = np.cumsum([0, *map(len, own[:-1])])
        table.codes[name] = words.coded(name, chain.from_iterable(own))[column + np.repeat(begins, lengths)]
    return table


def _id(dimension: str, bucket: int | None) -> str:
    return f"{dimension}/" + ("~" if bucket is None else f"{bucket:06}")
