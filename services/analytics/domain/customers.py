"""Everything of one customer: what they said, did, and what became of it, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal, NamedTuple
from uuid import UUID

from msgspec import Struct, field

from shared.events import ActivityKind, Metric, Rating, Status

EntryType = Literal["activity", "feedback", "case"]
TYPES: tuple[EntryType, ...] = ("activity", "feedback", "case")
"""In the order that entries of one moment stand in: an order, the complaint about it, the case of that."""
NPS_SCALE = (0, 10)


@dataclass(frozen=True, slots=True)
class Score:
    """An answer, on the scale it was asked on."""

    metric: Metric
    score: float
    scale_min: int
    scale_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidEntry:
    """What the customer said; `cases` are those that it opened or joined, as far as the caller sees them."""

    type: Literal["feedback"] = "feedback"
    id: str
    at: datetime
    labels: dict[str, str]
    order_id: str
    rating: Score | None
    cases: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneEntry:
    """What the customer did, or was done for them."""

    type: Literal["activity"] = "activity"
    id: str
    at: datetime
    kind: ActivityKind
    quantity: int
    external_id: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEntry:
    """A case; `at` is when it was opened, and the rest how it stands now."""

    type: Literal["case"] = "case"
    id: str
    at: datetime
    reference: str
    status: Status
    labels: dict[str, str]
    feedback: list[str]
    cause_code: str
    first_reply_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    satisfied: bool | None


Entry = SaidEntry | DoneEntry | CaseEntry


class Place(NamedTuple):
    """Where an entry stands in the order of entries."""

    at: datetime
    type: EntryType
    id: UUID


@dataclass(frozen=True, slots=True)
class LastScore:
    score: float
    at: datetime


@dataclass(frozen=True, slots=True)
class CsatMean:
    """The mean of the answers on one scale; scales are never mixed."""

    scale: str
    mean: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFigures:
    """What the caller may see of the customer in figures; `last_contact` is when they last spoke to us."""

    cases: int
    open: int
    feedback: int
    orders: int
    nps_last: LastScore | None
    csat: list[CsatMean]
    last_contact: datetime | None


class Answered(Struct, frozen=True, kw_only=True):
    """How often a score was given on a scale, and when last."""

    rating: Rating = field(name="_id")
    n: int
    last: datetime


def last_nps(answers: Iterable[Answered]) -> LastScore | None:
    """The last answer on 0-10; of several at one moment the lowest."""
    given = [one for one in answers if one.rating.metric == "nps" and _scale(one.rating) == NPS_SCALE]
    latest = max(given, key=lambda one: (one.last, -one.rating.score), default=None)
    return None if latest is None else LastScore(latest.rating.score, latest.last)


def csat_means(answers: Iterable[Answered]) -> list[CsatMean]:
    """By scale, the most used first; sums are exact, and rounded once."""
    by_scale: dict[tuple[int, int], list[Answered]] = {}
    for one in answers:
        if one.rating.metric == "csat":
            by_scale.setdefault(_scale(one.rating), []).append(one)
    means = []
    for (low, high), given in by_scale.items():
        n = sum(one.n for one in given)
        whole = sum((Fraction(one.rating.score) * one.n for one in given), Fraction())
        means.append(CsatMean(f"{low}-{high}", float(whole / n), n))
    return sorted(means, key=lambda one: (-one.n, one.scale))


def _scale(rating: Rating) -> tuple[int, int]:
    return rating.scale_min, rating.scale_max
