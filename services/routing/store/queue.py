"""The part of a department's queue that a turn can do something with, as one question to MongoDB.

However long the queue is, what nobody may be given does not stand in the way of what somebody may.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from services.routing.domain.queue import Search, Taker
from shared.mongo import Document

ORDER = [("priority", 1), ("opened_at", 1)]


def query_of(search: Search) -> Document:
    """Cases that wait in the department and that a taker could be given, or that go to the backup."""
    ways = _able(search.takers)
    if search.backup:
        could = _able(search.idle)
        nobody = {"$nor": could} if could else {}
        ways.append({"books.passed": {"$ne": search.backup}, **nobody})
    return {"department": search.department, "books.waiting": True, "$or": ways}


def _able(takers: Iterable[Taker]) -> list[Document]:
    """One condition for all who can do the same; absent fields are defaults (shared.events.Case)."""
    alike: defaultdict[tuple[frozenset[str], frozenset[str], tuple[str, ...]], list[str]]
    alike = defaultdict(list)
    for member, priorities in takers:
        alike[member.skills, member.languages, priorities].append(member.id)
    return [_condition(*what, names) for what, names in alike.items()]


def _condition(
    skills: frozenset[str], languages: frozenset[str], priorities: tuple[str, ...], names: list[str]
) -> Document:
    asks: Document = {
        "skills": {"$not": {"$elemMatch": {"$nin": sorted(skills)}}},
        "priority": {"$in": list(priorities)},
    }
    if languages:
        asks["language"] = {"$in": [*sorted(languages), "other", None]}
    if len(names) == 1:  # of several, one at least has not just lost the case
        asks["books.avoid"] = {"$ne": names[0]}
    return asks
