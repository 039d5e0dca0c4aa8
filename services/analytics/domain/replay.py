"""The facts of a history, in memory: what the log says, told again from its beginning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.facts import Outcome
from services.analytics.domain.rows import Row, rows
from services.analytics.domain.spans import BinOf
from services.analytics.domain.tallies import (
    ACTIVITY_FACTS,
    CASE_FACTS,
    COLLECTIONS,
    FEEDBACK_FACTS,
    JOINT_FACTS,
    TARGET_FACTS,
)
from shared.events import (
    ActivityRecorded,
    CaseChanged,
    Event,
    FeedbackReceived,
    TargetBreached,
    TargetFinished,
)


class Replay:
    """Facts changed only by what the domain decides; batches may be cut anywhere."""

    def __init__(self, bin_of: BinOf) -> None:
        self._bin_of = bin_of
        self.facts: dict[str, dict[Any, Any]] = {name: {} for name in COLLECTIONS}

    def hear(self, events: Sequence[Event]) -> list[Row]:
        """Take events in; what is counted by it."""
        told: list[Any] = [event for event in events if isinstance(event, FeedbackReceived)]
        done: list[Any] = [event for event in events if isinstance(event, ActivityRecorded)]
        moved: list[Any] = [event for event in events if isinstance(event, CaseChanged)]
        others = (FeedbackReceived, ActivityRecorded, CaseChanged)
        judged = [event for event in events if not isinstance(event, others)]
        return [
            *self._keep(self._told(told)),
            *self._keep(self._done(done)),
            *self._keep(self._moved(moved)),
            *self._keep(self._judged(judged)),
        ]

    def _told(self, events: Sequence[FeedbackReceived]) -> Outcome:
        parts = {told.joint for event in events for told in feedback.told(event)}
        known = self._known(FEEDBACK_FACTS, {event.id for event in events})
        return feedback.take(events, feedback.Known(known, self._known(JOINT_FACTS, parts)), self._bin_of)

    def _done(self, events: Sequence[ActivityRecorded]) -> Outcome:
        parts = {told.joint for event in events for told in activity.told(event)}
        known = self._known(ACTIVITY_FACTS, {event.id for event in events})
        return activity.take(events, activity.Known(known, self._known(JOINT_FACTS, parts)))

    def _moved(self, events: Sequence[CaseChanged]) -> Outcome:
        known = self._known(CASE_FACTS, {event.case.id for event in events})
        told, parts = set[Any](), set[Any]()
        for identity, new in cases.newest(events, known).items():
            told |= cases.touched(known.get(identity), new)
            parts |= {part.joint for part in cases.told(known.get(identity), new)}
        joints = self._known(JOINT_FACTS, parts)
        return cases.take(events, cases.Known(known, self._known(FEEDBACK_FACTS, told), joints))

    def _judged(self, events: Sequence[Any]) -> Outcome:
        ids = {targets.identity(e) for e in events if isinstance(e, TargetBreached | TargetFinished)}
        raised = {event.case_id for event in events if targets.escalates(event)}
        known = targets.Known(self._known(TARGET_FACTS, ids), self._known(CASE_FACTS, raised))
        return targets.take(events, known, self._bin_of)

    def _known(self, collection: str, ids: Iterable[Any]) -> dict[Any, Any]:
        facts = self.facts[collection]
        return {identity: facts[identity] for identity in ids if identity in facts}

    def rows(self) -> Iterator[Row]:
        """Everything that the facts count for."""
        return (row for facts in self.facts.values() for fact in facts.values() for row in rows(fact))

    def __len__(self) -> int:
        return sum(map(len, self.facts.values()))

    def _keep(self, outcome: Outcome) -> list[Row]:
        for group in (outcome.new, outcome.changed):
            for collection, facts in group.items():
                self.facts[collection].update((fact.id, fact) for fact in facts)  # type: ignore[attr-defined]
        return outcome.rows
