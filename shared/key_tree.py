"""A key for everybody from one seed, of which single ones can be destroyed.

The keys are the leaves of a tree of 16 branches and 13 levels (Goldreich, Goldwasser and Micali, "How to
construct random functions", 1986): the seed of a branch is a hash of the seed above it and the branch, and
nobody computes the way back. Whose key it is, says the place: 13 hexadecimal digits of a hash of the name,
one branch each. To destroy a key, the one seed that leads to it is replaced by those of all branches that do
not (a puncture: Boneh and Waters, "Constrained pseudorandom functions", 2013). Why there is no stored key for
each: docs/adr/0040-a-person-is-erased-by-a-key.md.

The hash is AES under a key that everybody may know, with its input added (Matyas, Meyer and Oseas; that this
is enough, given an ideal cipher: Guo, Katz, Wang and Yu, "Efficient and secure multiparty computation from
fixed-key block ciphers", 2020, 7.2). So one call of AES computes a level for many people: a twentieth of what
SHA-256 takes for each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from threading import local
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

BRANCHES = b"0123456789abcdef"
LEVELS, SEED = 13, 16
"""Levels of the tree, bytes of a seed."""
_FIXED = sha256(b"cqm: the key of the hash in shared/key_tree.py, which is no secret").digest()[:SEED]
_SEALING, _MARKING = b"s", b"m"
"""What the two keys of a place are hashed with, as seeds are with a branch."""
_TOP = 4
"""The level whose 65,536 seeds are all computed beforehand (1 MB)."""
_GONE = bytes(SEED)


class _Threads(local):
    """No two threads may be in the same cipher."""

    def __init__(self) -> None:
        self.encrypt = Cipher(AES128(_FIXED), ECB()).encryptor().update


_threads = _Threads()


class Key(NamedTuple):
    """16 bytes to seal with (AES-128-GCM), and 16 to make the mark of what was said (a keyed hash)."""

    sealing: bytes
    marking: bytes


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
        top, deep = bytearray(len(BRANCHES) ** _TOP * SEED), []
        for node, seed in (held for cut in cuts for held in _held(cut)):
            if len(node) > _TOP:
                deep.append((_first(node), len(node), seed))
                continue
            for _ in range(len(node), _TOP):
                seed = _all_below(seed)
            at = int(node.ljust(_TOP, b"0"), 16) * SEED
            top[at : at + len(seed)] = seed
        deep.sort()
        self._top = bytes(top)
        self._first = array("Q", [first for first, _, _ in deep])
        self._depths = bytes(depth for _, depth, _ in deep)
        self._seeds = b"".join(seed for _, _, seed in deep)

    def keys(self, places: Sequence[bytes]) -> list[Key | None]:
        """The key of each place; None where it was destroyed. Many at once cost a tenth of each alone."""
        found: dict[bytes, Key | None] = {}
        common, seeds = [], []
        for place in places:
            at = int(place[:_TOP], 16) * SEED
            seed = self._top[at : at + SEED]
            if seed != _GONE:
                common.append(place)
                seeds.append(seed)
                continue
            depth, seed = self._deep(place)
            found[place] = _leaves([place], seed, depth)[0] if seed else None
        found |= zip(common, _leaves(common, b"".join(seeds), _TOP), strict=True)
        return [found[place] for place in places]

    def _deep(self, place: bytes) -> tuple[int, bytes]:
        """The depth and the seed that is left above a place; none where its key was destroyed.

        The nodes share the places out among them: only the last that begins before it can be above it.
        """
        number = int(place, 16)
        at = bisect_right(self._first, number) - 1
        depth = self._depths[at] if at >= 0 else 0
        if at < 0 or (number ^ self._first[at]) >> 4 * (LEVELS - depth):
            return 0, b""
        return depth, self._seeds[at * SEED : (at + 1) * SEED]


def place_of(name: bytes, turn: int = 0) -> bytes:
    """Where the key of a name is; `turn`: how many of its keys were destroyed before."""
    said = b"%b\0%d" % (name, turn) if turn else name
    return sha256(said).hexdigest()[:LEVELS].encode()


def destroyed(cuts: Iterable[Cut], place: bytes) -> tuple[Cut, Cut] | None:
    """The cut that has lost the seed above the place, and that of the place, which stands for all others
    below it; None when the key is destroyed already. Whoever stores one has to store both."""
    for cut in cuts:
        depth = _depth_above(cut, place)
        at = 0 if depth is None else _index(cut, place, depth) * SEED
        seed = cut.seeds[at : at + SEED]
        if depth is not None and seed != _GONE:
            kept = cut.seeds[:at] + _GONE + cut.seeds[at + SEED :]
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
    branch, own = (BRANCHES.index(way[depth - 1]) for way in (place, cut.place))
    return (depth - 1 - cut.depth) * (len(BRANCHES) - 1) + branch - (branch > own)


def _around(place: bytes, depth: int, seed: bytes) -> bytes:
    """The seeds of all branches below a node that do not lead to the place."""
    left = []
    for level in range(depth, LEVELS):
        below, own = _all_below(seed), BRANCHES.index(place[level]) * SEED
        seed = below[own : own + SEED]
        left += [below[:own], below[own + SEED :]]
    return b"".join(left)


def _leaves(places: Sequence[bytes], seeds: bytes, depth: int) -> list[Key]:
    """The keys of some places, from the seed of each at a depth above it."""
    joined, many = b"".join(places), len(places)
    for level in range(depth, LEVELS):
        seeds = _below(seeds, joined[level::LEVELS])
    both = _below(seeds * 2, _SEALING * many + _MARKING * many)
    at, behind = range(0, len(seeds), SEED), len(seeds)
    return [Key(both[here : here + SEED], both[behind + here : behind + here + SEED]) for here in at]


def _all_below(seeds: bytes) -> bytes:
    """The seeds of all branches of each node, in order."""
    each = b"".join(seeds[at : at + SEED] * len(BRANCHES) for at in range(0, len(seeds), SEED))
    return _below(each, BRANCHES * (len(seeds) // SEED))


def _below(seeds: bytes, branches: bytes) -> bytes:
    """The seed of one branch of each node: `branches` has a byte for each of the `seeds`."""
    ways = bytearray(len(seeds))
    ways[SEED - 1 :: SEED] = branches
    said = int.from_bytes(seeds, "little") ^ int.from_bytes(ways, "little")
    hashed = int.from_bytes(_threads.encrypt(said.to_bytes(len(seeds), "little")), "little") ^ said
    return hashed.to_bytes(len(seeds), "little")


def _first(node: bytes) -> int:
    """The first place below a node, as a number."""
    return int(node.ljust(LEVELS, b"0"), 16)


def _held(cut: Cut) -> Iterator[tuple[bytes, bytes]]:
    """The nodes of a cut whose seeds are there."""
    return ((node, seed) for node, seed in zip(_nodes(cut), _seeds(cut), strict=True) if seed != _GONE)


def _seeds(cut: Cut) -> list[bytes]:
    return [cut.seeds[at : at + SEED] for at in range(0, len(cut.seeds), SEED)]


def _nodes(cut: Cut) -> Iterator[bytes]:
    """The branches that lead to each seed of a cut, in order."""
    if not cut.place:
        yield b""
        return
    for level in range(cut.depth, LEVELS):
        for other in BRANCHES:
            if other != cut.place[level]:
                yield cut.place[:level] + bytes([other])
