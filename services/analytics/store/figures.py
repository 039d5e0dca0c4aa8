"""Reading figures: from hourly rollups where they suffice, else from the facts, within a limit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pymongo.read_concern import ReadConcern

from services.analytics.domain import cases, feedback, targets
from services.analytics.domain.catalogue import Kpi
from services.analytics.domain.figures import QUARTER, Question, Row
from services.analytics.domain.periods import seconds_since_epoch
from services.analytics.domain.rollups import EPOCH, HOUR, PART, TOTAL
from services.analytics.store.facts import rollup_id
from shared.mongo import Database, Document, driver_errors
from shared.topics import CASES, FEEDBACK, SLA

_TOPIC_OF = {feedback.COLLECTION: FEEDBACK, cases.COLLECTION: CASES, targets.COLLECTION: SLA}
_ONE_MOMENT = ReadConcern("snapshot")
"""A correction moves a fact from one document to another: both are read as of one moment, or a sum is off."""


class TooManyFacts(Exception):
    """More facts than are read for one answer lie in the span that was asked for."""


class FigureStore:
    """The reading side, for the API."""

    def __init__(self, database: Database, facts_per_answer: int) -> None:
        self._database = database
        self.facts_per_answer = facts_per_answer

    async def as_of(self, kpi: Kpi) -> datetime | None:
        """The latest event time that was counted from the KPI's topic; None before the first event."""
        with driver_errors():
            marks = self._database.marks.find({"topic": _TOPIC_OF[kpi.collection].name})
            return max([mark["at"] async for mark in marks], default=None)

    async def extent(self, kpi: Kpi) -> tuple[datetime, datetime] | None:
        """The whole hours that the KPI's counts lie in; None when there are none."""
        hours = [hour for part in kpi.parts for hour in await self._ends(kpi, part)]
        if not hours:
            return None
        return EPOCH + timedelta(hours=min(hours)), EPOCH + timedelta(hours=max(hours) + 1)

    async def rows(self, question: Question) -> list[Row]:
        """The counts that answer the question. Raises TooManyFacts."""
        with driver_errors():
            if question.in_rollups:
                return await self._from_rollups(question)
            return await self._from_facts(question)

    async def _ends(self, kpi: Kpi, part: str) -> list[int]:
        whole = {"k": kpi.name, "p": part, "d": TOTAL}
        after = {"k": kpi.name, "p": part, "d": TOTAL + "\0"}
        found = []
        with driver_errors():
            for direction in (1, -1):
                ends = self._database.rollups.find({"_id": {"$gt": whole, "$lt": after}}, {"_id": 1})
                found += [one["_id"]["h"] async for one in ends.sort("_id", direction).limit(1)]
        return found

    async def _from_rollups(self, question: Question) -> list[Row]:
        dimension = question.crossed[0] if question.crossed else TOTAL
        first, after = (seconds_since_epoch(at) // HOUR for at in (question.begin, question.end))
        values = question.where.get(dimension)
        spans = [
            {
                "_id": {
                    "$gte": rollup_id(question.kpi.name, part, dimension, first),
                    "$lt": rollup_id(question.kpi.name, part, dimension, after),
                }
            }
            for part in question.parts
        ]
        if not spans:
            return []
        query: Document = {"$or": spans} | ({} if values is None else {"_id.v": {"$in": list(values)}})
        found = await self._database.rollups.with_options(read_concern=_ONE_MOMENT).find(query).to_list(None)
        return [_row(question, one) for one in found]

    async def _from_facts(self, question: Question) -> list[Row]:
        moment = f"m.{question.kpi.name}.t"
        facts = self._database[question.kpi.collection].with_options(read_concern=_ONE_MOMENT)
        span: Document = {moment: {"$gte": question.begin, "$lt": question.end}}
        if await facts.count_documents(span, limit=self.facts_per_answer + 1) > self.facts_per_answer:
            raise TooManyFacts
        chosen = {f"d.{name}": {"$in": list(values)} for name, values in question.where.items()}
        found = await facts.aggregate(_grouped(question, span | chosen)).to_list(None)
        return [
            Row(int(one["_id"]["q"]) * QUARTER, tuple(one["_id"]["by"]), {one["_id"]["c"]: one["n"]})
            for one in found
        ]


def _row(question: Question, rollup: Document) -> Row:
    identity = rollup["_id"]
    key = tuple(identity["p"] if name == PART else identity["v"] for name in question.by)
    return Row(identity["h"] * HOUR, key, rollup["c"])


def _grouped(question: Question, match: Document) -> list[dict[str, Any]]:
    """Sums of all counters per quarter of an hour and combination of values."""
    measure = f"$m.{question.kpi.name}"
    quarter = {"$floor": {"$divide": [{"$toLong": f"{measure}.t"}, QUARTER * 1000]}}
    by = [f"$d.{name}" for name in question.by]
    return [
        {"$match": match},
        {"$project": {"_id": 0, "q": quarter, "by": by, "c": {"$objectToArray": f"{measure}.c"}}},
        {"$unwind": "$c"},
        {"$group": {"_id": {"q": "$q", "by": "$by", "c": "$c.k"}, "n": {"$sum": "$c.v"}}},
    ]
