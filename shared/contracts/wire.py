"""What travels around an event's value: headers and groups in words, for the documents."""

from __future__ import annotations

from shared.topics import DEAD_LETTERS, TOPICS, Topic

SERVICES = ("intake", "routing", "sla", "analytics")
HEADERS: dict[str, str] = {
    "ce_specversion": "always 1.0 (CloudEvents)",
    "ce_id": "the event's id, the same however often it is said: what makes a repetition harmless",
    "ce_source": "/cqm/ and the service that said it",
    "ce_type": "the event's type, version included",
    "ce_time": "when it happened, RFC 3339 in UTC",
    "content-type": "always application/json",
    "traceparent": "the trace it belongs to (W3C Trace Context), from the first request to the last effect",
}
OPTIONAL_HEADERS = frozenset({"traceparent"})
DEAD_LETTER_HEADERS: dict[str, str] = {
    "dlt_id": "group/topic/partition/offset: the same however often the letter is published",
    "dlt_group": "the consumer group that gave up",
    "dlt_topic": "where the record stood",
    "dlt_partition": "its partition there",
    "dlt_offset": "its offset there",
    "dlt_timestamp": "its time there, RFC 3339 in UTC",
    "dlt_reason": "a short, stable word: invalid, unknown_type, conflict, ...",
    "dlt_detail": "which field and which limit, in a sentence, never the value",
    "dlt_attempts": "how often it was tried",
    "dlt_at": "when it was given up, RFC 3339 in UTC",
    "dlt_null_key": "1 when the record had no key; the letter's key is dlt_id then",
    "dlt_null_value": "1 when the record had no value; the letter's is empty then",
    "dlt_cut": "bytes of a record too large for a letter; it is read where it stood",
    "dlt_replay_of": "dlt_id of the letter whose replay failed again",
    "dlt_replayed": "only of a receipt, which has this and dlt_id: when the letter was replayed",
}


def group_of(service: str, topic: Topic, prefix: str = "cqm") -> str:
    """The consumer group of a service on a topic; `prefix` is the installation's CQM_DATABASE_PREFIX."""
    return f"{prefix}.{service}.{topic.name.removeprefix('cqm.').removesuffix('.v1')}"


def said_by(service: str) -> list[Topic]:
    """The topics that the service writes, dead letters included where it consumes anything."""
    own = [topic for topic in TOPICS if topic.producer == service]
    return [*own, DEAD_LETTERS] if heard_by(service) else own


def heard_by(service: str) -> list[Topic]:
    """The topics that the service consumes."""
    return [topic for topic in TOPICS if service in topic.consumers]
