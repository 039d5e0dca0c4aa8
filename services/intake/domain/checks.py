"""The rules of a signal that its types cannot say: times, scales, characters, and what must be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from operator import attrgetter
from typing import get_args

import msgspec
from msgspec import UNSET, Struct

from services.intake.domain.inputs import NAME_PATTERN, ActivityInput, FeedbackInput, Flaw, RatingInput

FIRST_YEAR, LAST_YEAR = 1990, 2100
AHEAD = timedelta(minutes=5)
CONTENT = ("text", "subject", "rating")

_NAME = re.compile(NAME_PATTERN)
_MOST_NAMES = 10_000
_right_names: set[str] = set()
"""Names of attributes that have been found right: a sender's signals all have the same few."""

_PROSE = frozenset({"text", "subject"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(signal: FeedbackInput | ActivityInput, now: datetime) -> list[Flaw]:
    """All that is wrong with a signal whose types are right, but for its characters."""
    flaws: list[Flaw] = []
    if type(signal) is FeedbackInput:
        if signal.rating is not UNSET:
            flaws += _rating(signal.rating)
        elif not signal.text.strip() and not signal.subject.strip():
            flaws.append(Flaw(("text",), "one of text, subject and rating is required"))
    at = signal.occurred_at
    if at is not UNSET and not (at <= now and at.year >= FIRST_YEAR):
        flaws += _moment(at, now)
    if not _right_names.issuperset(signal.attributes):
        flaws += _names(signal.attributes)
    return flaws


def check_characters(signal: FeedbackInput | ActivityInput) -> list[Flaw]:
    """NUL anywhere, and control characters in what is one line."""
    return list(_characters(signal)) if _has_control_characters(signal) else []


def is_clean(text: str, *, prose: bool) -> bool:
    """No NUL, and no control characters where it is one line."""
    return "\0" not in text if prose else not _CONTROL.search(text)


def _rating(rating: RatingInput) -> Iterator[Flaw]:
    """docs/domain.md 1.4: NPS exists on 0 to 10 only; scales are stored and never mixed."""
    if rating.metric == "nps":
        for name, end in (("scale_min", 0), ("scale_max", 10)):
            if getattr(rating, name) != end:
                yield Flaw(("rating", name), "NPS is asked on a scale from 0 to 10", end)
        if not 0 <= rating.score <= 10 or rating.score != int(rating.score):
            yield Flaw(("rating", "score"), "an NPS score is a whole number from 0 to 10", "0..10")
    elif rating.scale_min >= rating.scale_max:
        yield Flaw(("rating", "scale_max"), "must be greater than scale_min", "scale_min")
    elif not rating.scale_min <= rating.score <= rating.scale_max:
        yield Flaw(("rating", "score"), "must lie on its scale", "scale_min..scale_max")


def _moment(at: datetime, now: datetime) -> Iterator[Flaw]:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        yield Flaw(("occurred_at",), "the year is out of range", f"{FIRST_YEAR}..{LAST_YEAR}")
    elif at > now + AHEAD:
        limit = f"now + {int(AHEAD.total_seconds())} s"
        yield Flaw(("occurred_at",), "lies in the future; is the sender's clock right?", limit)


def _names(attributes: Iterable[str]) -> Iterator[Flaw]:
    """Matched as JSON Schema does: a line break at the end is no part of a name."""
    for name in attributes:
        if not _NAME.fullmatch(name):
            yield Flaw(("attributes",), "the name is not allowed", NAME_PATTERN)
        elif len(_right_names) < _MOST_NAMES:
            _right_names.add(name)


def _line_fields(kind: type[Struct], prefix: str = "") -> Iterator[str]:
    """Dotted names of all that is one line of text."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, Struct):
            yield from _line_fields(type(field.default), f"{prefix}{field.name}.")
        elif str in get_args(field.type) and field.name not in _PROSE:
            yield prefix + field.name


_LINES = {kind: attrgetter(*_line_fields(kind)) for kind in (FeedbackInput, ActivityInput)}


def _has_control_characters(signal: FeedbackInput | ActivityInput) -> bool:
    """The quick look: all lines of a signal at once."""
    if _CONTROL.search("".join(_LINES[type(signal)](signal))):
        return True
    prose = (signal.text, signal.subject) if isinstance(signal, FeedbackInput) else ()
    texts = (text for text in (*prose, *signal.attributes.values()) if isinstance(text, str))
    return any("\0" in text for text in texts)


def _characters(part: Struct, path: tuple[str, ...] = ()) -> Iterator[Flaw]:
    """No NUL anywhere, and no control characters in what is one line (ids, names, phone numbers)."""
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, Struct):
            yield from _characters(value, (*path, name))
        elif isinstance(value, dict):
            for key, scalar in value.items():
                if isinstance(scalar, str) and "\0" in scalar:
                    yield Flaw((*path, name, key), "must not contain NUL (U+0000)")
        elif not isinstance(value, str):
            continue
        elif name in _PROSE:
            if "\0" in value:
                yield Flaw((*path, name), "must not contain NUL (U+0000)")
        elif _CONTROL.search(value):
            yield Flaw((*path, name), "must be one line without control characters")
