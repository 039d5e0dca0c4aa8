"""How far each partition is counted: its fence and its latest event time, moved with what is counted."""

from __future__ import annotations

from services.analytics.domain.catalogue import Kpi
from services.analytics.domain.freshness import Reached
from services.analytics.domain.tallies import (
    ACTIVITY_FACTS,
    CASE_FACTS,
    FEEDBACK_FACTS,
    JOINT_FACTS,
    TALLIES,
    TARGET_FACTS,
)
from shared.handler import Partition
from shared.mongo import Database, Session, driver_errors
from shared.topics import ACTIVITY, CASES, FEEDBACK, SLA

TOPICS = frozenset(topic.name for topic in (FEEDBACK, ACTIVITY, CASES, SLA))
_TOPICS_OF = {
    FEEDBACK_FACTS: (FEEDBACK, CASES),
    ACTIVITY_FACTS: (ACTIVITY,),
    CASE_FACTS: (CASES, SLA),
    TARGET_FACTS: (SLA,),
    JOINT_FACTS: (ACTIVITY, FEEDBACK, CASES),
}


def topics_of(kpi: Kpi) -> frozenset[str]:
    """The topics whose events the KPI counts."""
    collections = {name for tally in kpi.tallies for name in TALLIES[tally].collections}
    return frozenset(topic.name for name in collections for topic in _TOPICS_OF[name])


class PositionStore:
    """The positions of the consumer groups whose names begin with `groups`."""

    def __init__(self, database: Database, groups: str) -> None:
        self._database, self._groups = database, groups

    async def following(self, session: Session | None = None) -> dict[Partition, int | None]:
        """The next offset of every partition: what is before it was counted, what follows was not."""
        span = {"_id": {"$gte": self._groups, "$lt": f"{self._groups}~"}}
        with driver_errors():
            fences = await self._database.offsets.find(span, {"next": 1}, session=session).to_list(None)
        return {_partition(*fence["_id"].split("/")[1:]): fence.get("next") for fence in fences}

    async def reached(self) -> dict[Partition, Reached]:
        """How far every partition is counted. Read before a figure, it says what is in it at least."""
        following = await self.following()
        with driver_errors():
            marks = await self._database.marks.find().to_list(None)
        latest = {_partition(*mark["_id"].split("/")): mark["at"] for mark in marks}
        return {one: Reached(following.get(one), latest.get(one)) for one in following | latest}


def _partition(topic: str, number: str) -> Partition:
    return Partition(topic, int(number))
