"""Kafka in: four streams, each load -> decide -> store in its own fenced transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.facts import Outcome
from services.analytics.domain.spans import BinOf
from services.analytics.domain.voice import Listen
from services.analytics.store.facts import Changes, FactStore
from shared.events import (
    ActivityRecorded,
    CaseChanged,
    Event,
    FeedbackReceived,
    TargetFinished,
)
from shared.handler import Batch, Decision, Handler, Partition, Refusal

E = TypeVar("E", bound=Event)
L = TypeVar("L")


def on_feedback_received(
    store: FactStore, bin_of: BinOf, listen: Listen | None = None
) -> Handler[Batch[FeedbackReceived], feedback.Known, Changes]:
    take = partial(feedback.take, bin_of=bin_of, listen=listen)
    decide = partial(_decide, take, lambda event: event.received_at)
    return Handler(store.load_feedback, decide, store.save)


def on_activity_recorded(store: FactStore) -> Handler[Batch[ActivityRecorded], activity.Known, Changes]:
    decide = partial(_decide, activity.take, lambda event: event.received_at)
    return Handler(store.load_activity, decide, store.save)


def on_case_changed(store: FactStore) -> Handler[Batch[CaseChanged], cases.Known, Changes]:
    decide = partial(_decide, cases.take, lambda event: event.change.at)
    return Handler(store.load_cases, decide, store.save)


def on_target_judged(store: FactStore, bin_of: BinOf) -> Handler[Batch[Event], targets.Known, Changes]:
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
    if not records:
        return Decision(Changes("", 0, {}, outcome), refused=refused)
    writer, first = min((received.cause.partition, received.offset) for received in records)
    seen: dict[str, datetime] = {}
    for received in records:
        name, at = _name(received.cause.partition), said_at(received.event)
        seen[name] = max(seen.get(name, at), at)
    return Decision(Changes(_name(writer), first, seen, outcome), refused=refused)


def _name(partition: Partition) -> str:
    return f"{partition.topic}/{partition.partition}"
