"""The facts behind a figure, in the order of time: a page, and the cursor of the next one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.analytics.api.answering import Answers
from services.analytics.api.cursors import cursor
from services.analytics.api.questions import OWNER
from services.analytics.domain.figures import Question
from services.analytics.domain.rows import EPOCH
from services.analytics.store.evidence import Evidence, Place
from shared.permission import sees_colleagues
from shared.principal import Principal

READ_PER_RECORD = 4
"""Facts that are fetched at once, for each record of a page."""


@dataclass(frozen=True, slots=True)
class Record:
    """A fact behind a figure: what it adds to `n` and `numerator`; `seconds` of a time that was counted."""

    id: str
    kind: str
    at: datetime
    n: int
    numerator: int | None
    seconds: int | None
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Records:
    """`as_of`: up to when all partitions are in what was read."""

    as_of: datetime | None
    items: list[Record]
    next: str | None


async def page_of(
    answers: Answers, question: Question, who: Principal, after: Place | None, limit: int
) -> Records:
    """A page of the records that count in the figure, as `who` may see them; and the next one's cursor."""
    found: list[tuple[Record, Place]] = []
    as_of = await answers.as_of(question.kpi)
    async with aclosing(answers.evidence.records(question, after, READ_PER_RECORD * limit)) as pieces:
        async for some in pieces:
            found += [(record, one.place) for one in some if (record := record_of(question, one, who))]
            if len(found) > limit:
                break
    last = cursor(list_of(question), found[limit - 1][1]) if len(found) > limit else None
    return Records(as_of, [record for record, _ in found[:limit]], last)


def shares(question: Question, evidence: Evidence) -> tuple[int, int]:
    """What a record adds to n and to the numerator."""
    (name,) = {source.name for source in question.sources if source.tally == evidence.place.tally}
    return question.share(evidence.row, name)


def record_of(question: Question, evidence: Evidence, who: Principal) -> Record | None:
    """The record as the caller may see it; None for one that adds nothing to the figure."""
    (n, numerator), place = shares(question, evidence), evidence.place
    if not n and not numerator:
        return None
    measure, span = evidence.row.measure, question.span.partition(".")[2]
    seconds = measure.s[span][0] if span in measure.s else None
    return Record(
        id=place.id if not place.number else f"{place.id}#{place.number}",
        kind=evidence.collection.removesuffix("_facts"),
        at=EPOCH + timedelta(seconds=place.second),
        n=n,
        numerator=None if question.kpi.statistics else numerator,
        seconds=seconds,
        labels=labels_seen(evidence.row.labels, who),
    )


def labels_seen(labels: Mapping[str, str], who: Principal) -> dict[str, str]:
    """The labels of a record. The owner is left blank where it is a colleague of one who may see figures of
    their own only: record by record, they would be everybody's."""
    owner = labels.get(OWNER, "")
    if not owner or owner == who.name or sees_colleagues(who):
        return dict(labels)
    return {**labels, OWNER: ""}


def list_of(question: Question) -> object:
    """What a list is of, so that a cursor is only good for it."""
    return question.kpi.name, sorted(question.where.items()), question.begin, question.grain
