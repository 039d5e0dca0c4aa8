"""The voice of the customer, first form: the terms that a text has, and its mood. Texts are not kept.

A term is a word of letters that says something. What could name a person or an order is none: e-mail and web
addresses, whatever has a digit (phones, order numbers), what the sender gave as name, e-mail or id, and
Chinese words that the dictionary has as names; words that it does not know fall apart into single characters,
which are no terms. So counting can show what many say, and not who said it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.analytics.domain.lexicon import NEGATIONS, NEGATIVE, POSITIVE, STOP
from shared.events import FeedbackReceived
from shared.rating import rating_level

LANGUAGES = ("en", "zh")
MOST_CHARACTERS = 1_000
"""Of a text that are read; few people say more, and none of them in one word."""
MOST_TERMS = 32
"""Of one feedback, the first ones."""
SEPARATOR = " "
"""Between the terms of a feedback; a term has letters only."""
TURNS_WITHIN = 3
"""Words within which a negation turns a mood round: "not very good"."""
_SHORTEST, _LONGEST = 3, 24
_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]+|(?<![\w.%+-])[\w.%+-]*@[\w.-]+", re.ASCII)
_FIRST_HAN = "\u3400"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
_RUN = re.compile(f"[{_HAN}]+|[{_LATIN}0-9]+(?:[-_/.#+:'][{_LATIN}0-9]+)*")
_WORD = re.compile(f"[{_LATIN}]+(?:'[{_LATIN}]+)?")
_NO_WORD = re.compile(f"[^{_LATIN}{_HAN}]+")
_DIGIT = re.compile("[0-9]")
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


class Words(NamedTuple):
    """All words of a text in their order, and those that are terms."""

    every: list[str]
    terms: list[str]


Listen = Callable[[FeedbackReceived], Heard | None]


def listener(zone: ZoneInfo) -> Listen:
    """Hears what feedback says, with its day in the zone; None for one without words of a language."""

    def listen(event: FeedbackReceived) -> Heard | None:
        if event.language not in LANGUAGES or not (event.text or event.subject):
            return None
        words = words_of(f"{event.subject}\n{event.text}"[:MOST_CHARACTERS])
        terms = dict.fromkeys(words.terms)
        for word in _hidden(event):
            terms.pop(word, None)
        level = rating_level(event.rating)
        mood = _MOOD_OF[level] if level else mood_of(words.every)
        day = event.occurred_at.astimezone(zone).date().isoformat()
        return Heard(day, SEPARATOR.join(list(terms)[:MOST_TERMS]), mood)

    return listen


def mood_of(words: list[str]) -> str:
    """By the words that carry one, turned round where a negation stands shortly before; none is neutral."""
    if _WEIGHT.keys().isdisjoint(words):
        return "neutral"
    whole = 0
    for place, word in enumerate(words):
        if weight := _WEIGHT.get(word):
            turned = any(map(_turns_round, words[max(0, place - TURNS_WITHIN) : place]))
            whole += -weight if turned else weight
    return "positive" if whole > 0 else "negative" if whole < 0 else "neutral"


def _turns_round(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")


def words_of(text: str) -> Words:
    """In lower case. What joins letters with digits is a number or a name, and left out."""
    text = text.lower().replace("\u2019", "'")
    if "@" in text or "://" in text or "www." in text:
        text = _ADDRESS.sub(" ", text)
    words = Words([], [])
    latin: list[str] = []
    for run in _RUN.findall(text):
        if run[0] >= _FIRST_HAN:
            _chinese(run, words)
        elif run.isalpha():
            latin.append(run)
            words.every.append(run)
        elif not _DIGIT.search(run):
            some = [word.removesuffix("'s") for word in _WORD.findall(run)]
            latin += some
            words.every.extend(some)
    words.terms.extend(word for word in latin if word not in STOP and _fits(word))
    return words


def _fits(word: str) -> bool:
    return _SHORTEST <= len(word) <= _LONGEST and "'" not in word


def _chinese(run: str, words: Words) -> None:
    """By the dictionary alone: a model that guesses words would find names."""
    import rjieba  # 34 MB, which those who never hear Chinese need not have

    for word, kind in rjieba.tag(run, False):
        words.every.append(word)
        if len(word) > 1 and kind not in _SAYS_LITTLE and word not in STOP:
            words.terms.append(word)


def _hidden(event: FeedbackReceived) -> set[str]:
    """Words of what the sender said about who they are; of a Chinese name also parts, as people call them."""
    personal = event.customer.personal
    given = [event.customer.id, event.order_id, event.external_id]
    if personal is not None:
        given += [personal.name, personal.email]
    hidden = {part for one in given if one for part in _NO_WORD.split(one.lower())}
    if personal is not None and len(personal.name) <= _LONGEST and not personal.name.isascii():
        name = personal.name
        hidden |= {name[at:end] for at in range(len(name)) for end in range(at + 2, len(name) + 1)}
    return hidden
