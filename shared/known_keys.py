"""The keys of the people who were heard of last, as one tree has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.key_tree import Key, KeyTree, place_of

_REMEMBERED = 4096
"""Keys; more are forgotten all at once, but for those that were just asked for."""


class KnownKeys:
    """Any thread may ask: what another one forgets meanwhile is computed again."""

    def __init__(self, tree: KeyTree) -> None:
        self._tree = tree
        self._at: dict[bytes, Key | None] = {}
        self._of: dict[bytes, tuple[bytes, Key]] = {}

    def of(self, whose: bytes) -> tuple[bytes, Key]:
        """The place and the key by which a person is sealed now: the first that was not destroyed."""
        found = self._of.get(whose)
        turn = 0
        while found is None:
            place = place_of(whose, turn)
            if (key := self.at(place)) is not None:
                found = self._of[whose] = place, key
            turn += 1
        return found

    def at(self, place: bytes) -> Key | None:
        """None when it was destroyed."""
        try:
            return self._at[place]
        except KeyError:
            return self._find([place])[0]

    def learn(self, people: Iterable[bytes]) -> None:
        """Compute the keys of many at once, so that `of` knows them."""
        new = [whose for whose in set(people) if whose not in self._of]
        places = [place_of(whose) for whose in new]
        found = zip(new, places, self._find(places), strict=True)
        self._of |= {whose: (place, key) for whose, place, key in found if key is not None}

    def learn_places(self, places: Iterable[bytes]) -> None:
        """Compute the keys of many places at once, so that `at` knows them."""
        self._find([place for place in set(places) if place not in self._at])

    def _find(self, places: Sequence[bytes]) -> list[Key | None]:
        keys = self._tree.keys(places)
        if len(self._at) + len(places) > _REMEMBERED:
            self._at, self._of = {}, {}
        self._at |= zip(places, keys, strict=True)
        return keys
