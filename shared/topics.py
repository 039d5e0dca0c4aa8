"""The topics as one table: it drives creation (`cqm topics`), docs/topics.md, AsyncAPI and tests."""

from __future__ import annotations

from dataclasses import dataclass

from shared import events

DAY_MS = 86_400_000
MAX_RECORD_BYTES = 900_000
"""Largest value + key + headers that a producer of ours sends; refused before it reaches the client."""
MAX_LETTER_BYTES = 2 * MAX_RECORD_BYTES - 10_000
"""The same for dead letters, which carry what others sent, and why it failed."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic.

    `key` says in words what the record key is; equal keys stay in order on one partition.
    `retention_days` is None for "as long as there is room": the log is the source of every figure.
    """

    name: str
    events: tuple[type[events.Event], ...]
    key: str
    producer: str
    consumers: tuple[str, ...]
    partitions: int = 12
    retention_days: int | None = None
    max_bytes: int = MAX_RECORD_BYTES + 100_000

    def config(self, min_insync_replicas: int) -> dict[str, str]:
        """The topic's settings, complete: Kafka's alter call replaces all overrides at once."""
        retention = -1 if self.retention_days is None else self.retention_days * DAY_MS
        return {
            "retention.ms": str(retention),
            "cleanup.policy": "delete",
            "min.insync.replicas": str(min_insync_replicas),
            "max.message.bytes": str(self.max_bytes),
            # by default Kafka refuses what is an hour ahead of it: a replica whose clock runs fast could say
            # nothing, and its partitions would stand still
            "message.timestamp.after.max.ms": str(DAY_MS),
            "unclean.leader.election.enable": "false",
        }


FEEDBACK = Topic(
    "cqm.feedback.v1",
    (events.FeedbackReceived,),
    "customer id, else feedback id: the signals of one customer stay in order",
    "intake",
    ("routing", "analytics"),
)
ACTIVITY = Topic(
    "cqm.activity.v1",
    (events.ActivityRecorded,),
    "customer id, else activity id",
    "intake",
    ("analytics",),
)
ASSIGNMENTS = Topic(
    "cqm.assignments.v1",
    (events.AssignmentRequested,),
    "department: one consumer at a time is the only writer of its pool",
    "routing",
    ("routing",),
    retention_days=14,
)
CASES = Topic(
    "cqm.cases.v1",
    (events.CaseChanged,),
    "case id (16 bytes)",
    "routing",
    ("sla", "analytics"),
)
SLA = Topic(
    "cqm.sla.v1",
    (events.TargetBreached, events.TargetFinished, events.EscalationRaised),
    "case id (16 bytes)",
    "sla",
    ("routing", "analytics"),
)
DEAD_LETTERS = Topic(
    "cqm.dlt.v1",
    (),
    "as the record that failed had it; value and headers too, and dlt_* headers say why",
    "any consumer",
    ("operators",),
    partitions=6,
    max_bytes=2 * MAX_RECORD_BYTES,
)

TOPICS: tuple[Topic, ...] = (FEEDBACK, ACTIVITY, ASSIGNMENTS, CASES, SLA, DEAD_LETTERS)
TOPIC_OF: dict[type[events.Event], Topic] = {event: topic for topic in TOPICS for event in topic.events}
