"""The voice of the customer, first form: the terms that a text has, and its mood. Texts are not kept.

A term is a word of letters that says something. What could name a person or an order is none: e-mail and web
addresses, whatever has a digit (phones, order numbers), what the sender gave as name, e-mail or id, and
Chinese words that the dictionary has as names; words that it does not know fall apart into single characters,
which are no terms. So counting can show what many say, and not who said it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import ModuleType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.analytics.domain.lexicon import NEGATIONS, NEGATIVE, POSITIVE, STOP
from shared.events import FeedbackReceived
from shared.rating import rating_level

LANGUAGES = ("en", "zh")
MOST_CHARACTERS = 500
"""Of a text that are read: by then most have as many terms as are counted."""
MOST_TERMS = 32
"""Of one feedback, the first ones."""
SEPARATOR = " "
"""Between the terms of a feedback; a term has letters only."""
TURNS_WITHIN = 3
"""Words within which a negation turns a mood round: "not very good"."""
MOST_REMEMBERED = 20_000
"""Words that need not be looked up again: the most frequent ones, in some 5 MB."""
_SHORTEST, _LONGEST = 3, 24
_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]+|(?<![\w.%+-])[\w.%+-]*@[\w.-]+", re.ASCII)
_FIRST_HAN = "\u3400"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
_RUN = re.compile(f"[{_HAN}]+|[{_LATIN}0-9]+(?:[-_/.#+:'][{_LATIN}0-9]+)*")
_WORD = re.compile(f"[{_LATIN}]+(?:'[{_LATIN}]+)?")
_LETTERS = re.compile(f"[{_LATIN}{_HAN}]+")
_DIGIT = re.compile("[0-9]")
_MARKS = frozenset("，。、；：？！…—～“”‘’（）《》【】「」·")
_CHINESE = re.compile(f"[{_HAN}{''.join(sorted(_MARKS))}]+")
"""Without anything that could be a part of a number or an address."""
_SAYS_LITTLE = frozenset(kind for kinds in ("m mq q r rr rz u ul uj p c x t e y o w d f", "nr nrt nrfg nz")
                         for kind in kinds.split())  # fmt: skip
"""Kinds of Chinese words, as the dictionary has them: numbers, pronouns, particles, ..., names of people."""
_WEIGHT = dict.fromkeys(POSITIVE, 1) | dict.fromkeys(NEGATIVE, -1)
_MOOD_OF: dict[str, str] = {
    "promoter": "positive", "satisfied": "positive", "passive": "neutral", "neutral": "neutral",
    "detractor": "negative", "dissatisfied": "negative",
}  # fmt: skip


class Heard(NamedTuple):
    """What is counted of a text: on which day where figures are reported, which terms, in which of MOODS."""

    day: str
    terms: str
    mood: str


Listen = Callable[[FeedbackReceived], Heard | None]


def listener(zone: ZoneInfo) -> Listen:
    """Hears what feedback says, with its day in the zone; None for one without words of a language."""

    def listen(event: FeedbackReceived) -> Heard | None:
        if event.language not in LANGUAGES or not (event.text or event.subject):
            return None
        text = Text(f"{event.subject}\n{event.text}"[:MOST_CHARACTERS])
        hidden = _hidden(event)
        terms = [term for term in text.terms() if term not in hidden]
        level = rating_level(event.rating)
        mood = _MOOD_OF[level] if level else mood_of(text.words())
        day = event.occurred_at.astimezone(zone).date().isoformat()
        return Heard(day, SEPARATOR.join(terms[:MOST_TERMS]), mood)

    return listen


def mood_of(words: Sequence[str]) -> str:
    """By the words that carry one, turned round where a negation stands shortly before; none is neutral."""
    if _WEIGHT.keys().isdisjoint(words):
        return "neutral"
    whole = 0
    for place in [place for place, word in enumerate(words) if word in _WEIGHT]:
        turned = any(map(_turns_round, words[max(0, place - TURNS_WITHIN) : place]))
        whole += -_WEIGHT[words[place]] if turned else _WEIGHT[words[place]]
    return "positive" if whole > 0 else "negative" if whole < 0 else "neutral"


def _turns_round(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")


class Text:
    """What words a text has, in lower case.

    No word has a blank in it: what stands between blanks is read by itself, and what comes again only once.
    """

    def __init__(self, text: str) -> None:
        text = text.lower().replace("\u2019", "'")
        if "@" in text or "://" in text or "www." in text:
            text = _ADDRESS.sub(" ", text)
        self._pieces = text.split()
        once = dict.fromkeys(self._pieces)
        self._read = dict(zip(once, map(_remembered if text.isascii() else _read, once), strict=True))

    def words(self) -> list[str]:
        """All of them in their order. What joins letters with digits is a number or a name, and left out."""
        words = chain.from_iterable(map(self._read.__getitem__, self._pieces))
        return [word for word in words if word not in _MARKS]

    def terms(self) -> list[str]:
        """Those that say something, each once."""
        return list(filter(_is_term, dict.fromkeys(chain.from_iterable(self._read.values()))))


def _read(piece: str) -> Sequence[str]:
    """What has no blanks in it is a word in Latin letters, and a sentence, hardly said twice, in Chinese."""
    if _CHINESE.fullmatch(piece):
        words: list[str] = _dictionary().cut(piece, False)  # words that a model would guess might be names
        return words
    return _remembered(piece) if len(piece) <= _LONGEST else _words(piece)


def _words(piece: str) -> list[str]:
    words: list[str] = []
    for run in _RUN.findall(piece):
        if run[0] >= _FIRST_HAN:
            words += _dictionary().cut(run, False)
        elif run.isalpha():
            words.append(run)
        elif not _DIGIT.search(run):
            words += [word.removesuffix("'s") for word in _WORD.findall(run)]
    return words


_remembered = lru_cache(MOST_REMEMBERED)(_words)


@lru_cache(MOST_REMEMBERED)
def _is_term(word: str) -> bool:
    if word in STOP:
        return False
    if word[0] < _FIRST_HAN:
        return _SHORTEST <= len(word) <= _LONGEST and "'" not in word
    return len(word) > 1 and all(kind not in _SAYS_LITTLE for _, kind in _dictionary().tag(word, False))


@cache
def _dictionary() -> ModuleType:
    import rjieba  # 34 MB, which those who never hear Chinese need not have

    return rjieba


def _hidden(event: FeedbackReceived) -> set[str]:
    """Words of what the sender said about who they are; of a Chinese name also parts, as people call them."""
    personal = event.customer.personal
    given = f"{event.customer.id} {event.order_id} {event.external_id}"
    if personal is None:
        return set(_LETTERS.findall(given.lower()))
    name = personal.name
    hidden = set(_LETTERS.findall(f"{given} {name} {personal.email}".lower()))
    if len(name) <= _LONGEST and not name.isascii():
        hidden |= {name[at:end] for at in range(len(name)) for end in range(at + 2, len(name) + 1)}
    return hidden
