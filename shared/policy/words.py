"""Category by words, in Chinese and English (docs/domain.md 2.2, docs/policy.md): explainable.

The rule, over subject and text, folded as in folding.py:

1. A word that begins or ends with a Latin letter or digit stands free of Latin letters and digits there, but
   for a plural s: `defect` is in "defects", `late` in neither "later" nor "chocolate". Chinese has none.
2. Where one word lies within another, only the longer one is there: in "hot water" there is no `water`. A
   denied word ("not damaged", 没有破损: negation.py) is there and does not count, except for categories
   whose words count although they are denied (`absence: true`).
3. The category with the most different words wins, then the one with the most letters in them, then the
   first in the policy.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from shared.policy.folding import fold
from shared.policy.negation import goes_on, is_denied

_LONGEST_TEXT = 20_000
_DENSE = 20_000
"""Characters of all words up to which the automaton is a full table: a third faster, and slower to build."""
_SHORTEST_WITH_PLURAL = 3


class WordMatch(NamedTuple):
    """The category ("" when no word counts), its words as the policy writes them, and the denied ones."""

    category: str = ""
    words: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


class _Pattern(NamedTuple):
    """A folded word: the categories it stands for, each with the word as written, and its borders."""

    owners: tuple[tuple[str, str], ...]
    letters: int
    free_before: bool
    free_after: bool
    plural: bool


_NOTHING = WordMatch()


def _is_latin(character: str) -> bool:
    return character.isalnum() and character < "\u0250"


class WordMatcher:
    """All words of all categories in one automaton; only the first 20,000 characters are read.

    `absence` holds the categories whose words also count when they are denied.
    """

    def __init__(self, words: Mapping[str, Iterable[str]], absence: Container[str] = ()) -> None:
        self._order = {category: place for place, category in enumerate(words)}
        self._absence = absence
        owners: dict[str, dict[str, str]] = {}
        for category, texts in words.items():
            for text in texts:
                owners.setdefault(fold(text), {}).setdefault(category, text)
        owners.pop("", None)
        self._patterns = [_pattern(folded, of) for folded, of in owners.items()]
        dense = sum(map(len, owners)) <= _DENSE
        self._automaton = AhoCorasick(
            list(owners),
            matchkind=MatchKind.Standard,
            implementation=Implementation.DFA if dense else Implementation.ContiguousNFA,
        )

    def match(self, *texts: str) -> WordMatch:
        """The best category for the texts together (subject and text)."""
        text = "\n".join([fold(text[:_LONGEST_TEXT]) for text in texts if text])
        hits = self._automaton.find_matches_as_indexes(text, overlapping=True)
        if not hits:
            return _NOTHING
        counted: dict[str, dict[str, int]] = {}
        denied: dict[str, None] = {}
        for pattern, is_negated in self._standing(text, hits):
            for category, word in pattern.owners:
                if is_negated and category not in self._absence:
                    denied[word] = None
                else:
                    counted.setdefault(category, {})[word] = pattern.letters
        if not counted:
            return WordMatch(denied=tuple(denied))
        best = self._best(counted)
        return WordMatch(best, tuple(counted[best]), tuple(denied))

    def _best(self, counted: dict[str, dict[str, int]]) -> str:
        if len(counted) == 1:
            return next(iter(counted))
        return max(
            counted, key=lambda name: (len(counted[name]), sum(counted[name].values()), -self._order[name])
        )

    def _standing(self, text: str, hits: list[tuple[int, int, int]]) -> list[tuple[_Pattern, bool]]:
        """The words that are there in the order of the text, each with whether it is denied."""
        found = []
        reached, denied_until = 0, -1
        for start, minus_end, _, number in self._free(text, hits):
            if -minus_end <= reached:
                continue  # within a longer one
            denied = is_denied(text, start) or (denied_until >= 0 and goes_on(text, denied_until, start))
            reached = -minus_end
            denied_until = reached if denied else -1
            found.append((self._patterns[number], denied))
        return found

    def _free(self, text: str, hits: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
        """The hits between their borders, as start, -end, -letters, pattern, in this order."""
        places = []
        for number, start, end in hits:
            pattern = self._patterns[number]
            if pattern.free_before and start and _is_latin(text[start - 1]):
                continue
            if pattern.free_after:
                if pattern.plural and text.startswith("s", end):
                    end += 1
                if end < len(text) and _is_latin(text[end]):
                    continue
            places.append((start, -end, -pattern.letters, number))
        places.sort()
        return places


def _pattern(folded: str, owners: Mapping[str, str]) -> _Pattern:
    last = folded[-1]
    plural = len(folded) >= _SHORTEST_WITH_PLURAL and last.isascii() and last.isalpha() and last != "s"
    letters = sum(character.isalnum() for character in folded)
    return _Pattern(tuple(owners.items()), letters, _is_latin(folded[0]), _is_latin(last), plural)
