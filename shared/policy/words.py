"""Category by words, in Chinese and English (docs/domain.md 2.2, docs/policy.md): explainable.

Text is folded first: NFKC (full-width letters, digits and signs become plain), case, spaces. The category
with the most different words found wins, then the one with the most letters found, then the first named.
A word that begins or ends with a Latin letter or digit must stand free of Latin letters and digits there;
Chinese needs no borders.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

_WIDE = re.compile(r"[\u3000\uff01-\uffee]+")
_LONGEST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class WordMatch:
    """The category and the words of the policy, as written there, that were found."""

    category: str
    words: tuple[str, ...]


def fold(text: str) -> str:
    """NFKC, case and spaces folded; the common wide characters first, which is ten times faster."""
    if not text.isascii():
        text = _WIDE.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def _is_latin(character: str) -> bool:
    return character.isalnum() and character < "\u0250"


class WordMatcher:
    """All words of all categories in one automaton; only the first 20,000 characters are read."""

    def __init__(self, words: Mapping[str, Iterable[str]]) -> None:
        self._categories = {category: place for place, category in enumerate(words)}
        self._owners: dict[str, list[tuple[str, str]]] = {}
        for category, texts in words.items():
            for text in texts:
                self._owners.setdefault(fold(text), []).append((category, text))
        self._owners.pop("", None)
        self._patterns = list(self._owners)
        self._borders = [(_is_latin(word[0]), _is_latin(word[-1])) for word in self._patterns]
        self._automaton = AhoCorasick(
            self._patterns, matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
        )

    def match(self, *texts: str) -> WordMatch | None:
        """Best category for the texts together (subject and text), None when no word is in them."""
        text = "\n".join(fold(text[:_LONGEST_TEXT]) for text in texts if text)
        found: dict[str, dict[str, None]] = {}
        for pattern, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            if self._stands_free(text, pattern, start, end):
                for category, word in self._owners[self._patterns[pattern]]:
                    found.setdefault(category, {})[word] = None
        if not found:
            return None
        best = max(found, key=lambda name: (*_weight(found[name]), -self._categories[name]))
        return WordMatch(best, tuple(found[best]))

    def _stands_free(self, text: str, pattern: int, start: int, end: int) -> bool:
        left, right = self._borders[pattern]
        return not (left and start and _is_latin(text[start - 1])) and not (
            right and end < len(text) and _is_latin(text[end])
        )


def _weight(words: Iterable[str]) -> tuple[int, int]:
    lengths = [len(word) for word in words]
    return len(lengths), sum(lengths)
