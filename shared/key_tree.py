"""A key for everybody from one seed, of which single ones can be destroyed.

The keys are the leaves of a tree of 16 branches and 13 levels (Goldreich, Goldwasser and Micali, "How to
construct random functions", 1986): the seed of a branch is a hash of the seed above it and the branch, and
nobody computes the way back. Whose key it is, says the place: 13 hexadecimal digits of a hash of the name,
one branch each. To destroy a key, the one seed that leads to it is replaced by those of all branches that do
not (a puncture: Boneh and Waters, "Constrained pseudorandom functions", 2013). Why there is no stored key for
each: docs/adr/0040-a-person-is-erased-by-a-key.md.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BRANCHES = [b"%x" % branch for branch in range(16)]
LEVELS, SEED = 13, 16
"""Levels of the tree, bytes of a seed."""
_KEY = b"key"
_REMEMBERED = 3
"""Levels whose seeds are kept once they are computed: at most 4,096."""


class Cut(NamedTuple):
    """What is left around a destroyed key: `seeds` of the 15 other branches of each level below `depth`, in
    order; one that was replaced itself since is all zeros. The tree begins as the cut of nobody: no place,
    one seed, above everybody."""

    place: bytes
    depth: int
    seeds: bytes


class KeyTree:
    """What can be computed from the seeds that are left."""

    def __init__(self, cuts: Iterable[Cut]) -> None:
        nodes = sorted((_first(node), len(node), seed) for cut in cuts for node, seed in _held(cut))
        self._first = array("Q", [first for first, _, _ in nodes])
        self._depths = bytes(depth for _, depth, _ in nodes)
        self._seeds = b"".join(seed for _, _, seed in nodes)
        self._remembered: dict[bytes, bytes] = {}

    def key(self, place: bytes) -> bytes | None:
        """The 32 bytes of a place's key; None when it was destroyed.

        The nodes share the places out among them: only the last that begins before it can be above it.
        """
        seed = self._remembered.get(place[:_REMEMBERED])
        if seed is not None:
            return _leaf(seed, place, _REMEMBERED)
        number = int(place, 16)
        at = bisect_right(self._first, number) - 1
        if at < 0:
            return None
        depth = self._depths[at]
        if (number ^ self._first[at]) >> 4 * (LEVELS - depth):
            return None
        seed = self._seeds[at * SEED : (at + 1) * SEED]
        while depth < _REMEMBERED:
            seed = _below(seed, place[depth : depth + 1])
            depth += 1
        if depth == _REMEMBERED:
            self._remembered[place[:depth]] = seed
        return _leaf(seed, place, depth)


def place_of(name: bytes, turn: int = 0) -> bytes:
    """Where the key of a name is; `turn`: how many of its keys were destroyed before."""
    said = b"%b\0%d" % (name, turn) if turn else name
    return hashlib.sha256(said).hexdigest()[:LEVELS].encode()


def destroyed(cuts: Iterable[Cut], place: bytes) -> tuple[Cut, Cut] | None:
    """The cut that has lost the seed above the place, and that of the place, which stands for all others
    below it; None when the key is destroyed already. Whoever stores one has to store both."""
    for cut in cuts:
        depth = _depth_above(cut, place)
        at = 0 if depth is None else _index(cut, place, depth) * SEED
        seed = cut.seeds[at : at + SEED]
        if depth is not None and any(seed):
            kept = cut.seeds[:at] + bytes(SEED) + cut.seeds[at + SEED :]
            return cut._replace(seeds=kept), Cut(place, depth, _around(place, depth, seed))
    return None


def _depth_above(cut: Cut, place: bytes) -> int | None:
    """How deep the one node of a cut stands that may be above the place: where the two ways part."""
    if not cut.place:
        return 0
    same = next((level for level in range(LEVELS) if cut.place[level] != place[level]), LEVELS)
    return same + 1 if cut.depth <= same < LEVELS else None


def _index(cut: Cut, place: bytes, depth: int) -> int:
    """Which of the seeds of a cut is that of its node at this depth above the place."""
    if not cut.place:
        return 0
    branch, own = (BRANCHES.index(way[depth - 1 : depth]) for way in (place, cut.place))
    return (depth - 1 - cut.depth) * (len(BRANCHES) - 1) + branch - (branch > own)


def _around(place: bytes, depth: int, seed: bytes) -> bytes:
    """The seeds of all branches below a node that do not lead to the place."""
    left = []
    for level in range(depth, LEVELS):
        branch = place[level : level + 1]
        left += [_below(seed, other) for other in BRANCHES if other != branch]
        seed = _below(seed, branch)
    return b"".join(left)


def _leaf(seed: bytes, place: bytes, depth: int) -> bytes:
    """The key of a place, from the seed at a depth above it."""
    for level in range(depth, LEVELS):
        seed = _below(seed, place[level : level + 1])
    return hashlib.sha256(seed + _KEY).digest()


def _below(seed: bytes, branch: bytes) -> bytes:
    return hashlib.sha256(seed + branch).digest()[:SEED]


def _first(node: bytes) -> int:
    """The first place below a node, as a number."""
    return int(node.ljust(LEVELS, b"0"), 16)


def _held(cut: Cut) -> Iterator[tuple[bytes, bytes]]:
    """The nodes of a cut whose seeds are there."""
    return ((node, seed) for node, seed in zip(_nodes(cut), _seeds(cut), strict=True) if any(seed))


def _seeds(cut: Cut) -> list[bytes]:
    return [cut.seeds[at : at + SEED] for at in range(0, len(cut.seeds), SEED)]


def _nodes(cut: Cut) -> Iterator[bytes]:
    """The branches that lead to each seed of a cut, in order."""
    if not cut.place:
        yield b""
        return
    for level in range(cut.depth, LEVELS):
        for other in BRANCHES:
            if other != cut.place[level : level + 1]:
                yield cut.place[:level] + other
