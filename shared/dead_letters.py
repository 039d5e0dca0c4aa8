"""Dead letters: the failed record as it was (key, value, headers), with `dlt_*` headers that say why.

A record that is larger than a dead letter may be (it came compressed) stays where it is: its letter has only
the `dlt_*` headers, `dlt_cut` among them with the size, and leads to it by topic, partition and offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.clock import rfc3339
from shared.codec import Outgoing
from shared.errors import PermanentError
from shared.topics import DEAD_LETTERS, MAX_LETTER_BYTES

PREFIX = "dlt_"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record came from, and the record itself."""

    group: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def dead_letter(origin: Origin, error: PermanentError, *, attempts: int, at: datetime) -> Outgoing:
    """The record for the dead-letter topic. Its `dlt_id` is the same however often it is published."""
    where = f"{origin.group}/{origin.topic}/{origin.partition}/{origin.offset}"
    first_seen = datetime.fromtimestamp(max(0, origin.timestamp_ms) / 1000, UTC)
    facts = {
        "id": where,
        "group": origin.group,
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(origin.offset),
        "timestamp": rfc3339(first_seen),
        "reason": error.reason,
        "detail": error.detail,
        "attempts": str(attempts),
        "at": rfc3339(at),
        "null_key": "1" if origin.key is None else "",
        "null_value": "1" if origin.value is None else "",
    }
    own = [(PREFIX + name, text.encode()) for name, text in facts.items() if text]
    kept = [(name, content or b"") for name, content in origin.headers if not name.startswith(PREFIX)]
    letter = Outgoing(DEAD_LETTERS.name, origin.key or where.encode(), origin.value or b"", kept + own)
    if letter.size <= MAX_LETTER_BYTES:
        return letter
    cut = (PREFIX + "cut", str(letter.size).encode())
    return Outgoing(DEAD_LETTERS.name, where.encode(), b"", [*own, cut])


def letter_facts(headers: list[tuple[str, bytes | None]]) -> dict[str, str]:
    """What the `dlt_*` headers of a dead letter say, by name without the prefix."""
    return {
        name.removeprefix(PREFIX): (content or b"").decode("utf-8", "replace")
        for name, content in headers
        if name.startswith(PREFIX)
    }
