"""Kafka in: four streams, each load -> decide -> store in its own fenced transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.activity import ActivityFact
from services.analytics.domain.cases import Known
from services.analytics.domain.facts import Outcome
from services.analytics.domain.feedback import FeedbackFact
from services.analytics.domain.targets import BinOf, TargetFact
from services.analytics.store.facts import Changes, FactStore
from shared.events import (
    ActivityRecorded,
    CaseChanged,
    Event,
    FeedbackReceived,
    TargetFinished,
)
from shared.handler import Batch, Decision, Handler, Refusal

E = TypeVar("E", bound=Event)
L = TypeVar("L")


def on_feedback_received(
    store: FactStore,
) -> Handler[Batch[FeedbackReceived], dict[UUID, FeedbackFact], Changes]:
    decide = partial(_decide, feedback.take, lambda event: event.received_at)
    return Handler(store.load_feedback, decide, store.save)


def on_activity_recorded(
    store: FactStore,
) -> Handler[Batch[ActivityRecorded], dict[UUID, ActivityFact], Changes]:
    decide = partial(_decide, activity.take, lambda event: event.received_at)
    return Handler(store.load_activity, decide, store.save)


def on_case_changed(store: FactStore) -> Handler[Batch[CaseChanged], Known, Changes]:
    decide = partial(_decide, cases.take, lambda event: event.change.at)
    return Handler(store.load_cases, decide, store.save)


def on_target_judged(
    store: FactStore, bin_of: BinOf
) -> Handler[Batch[Event], dict[str, TargetFact], Changes]:
    decide = partial(_decide, partial(targets.take, bin_of=bin_of), _judged_at)
    return Handler(store.load_targets, decide, store.save)


def _judged_at(event: Any) -> datetime:
    at: datetime = event.finished_at if isinstance(event, TargetFinished) else event.at
    return at


def _decide(
    take: Callable[[Sequence[E], L], Outcome], said_at: Callable[[E], datetime], batch: Batch[E], known: L
) -> Decision[Changes]:
    """The topic's own decision, with the writer's slot and the refusals of the batch around it."""
    records = batch.records
    outcome = take([received.event for received in records], known)
    refused = [
        Refusal(records[index].offset, records[index].cause.partition, error)
        for index, error in outcome.refused
    ]
    writer = min((received.cause.partition for received in records), default=None)
    changes = Changes(
        f"{writer.topic}/{writer.partition}" if writer else "",
        writer.topic if writer else "",
        max((said_at(received.event) for received in records), default=None),
        outcome,
    )
    return Decision(changes, refused=refused)
