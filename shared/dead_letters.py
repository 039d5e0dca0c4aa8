"""Dead letters: the failed record as it was (key, value, headers), with `dlt_*` headers that say why. Only a
header without a value becomes an empty one.

A record that is larger than a dead letter may be (it came compressed) stays where it is: its letter has only
the `dlt_*` headers, `dlt_cut` among them with the size, and leads to it by topic, partition and offset.

A letter is replayed by publishing the record to its topic again, with `dlt_replay_of` as one more header, and
then a receipt behind the letter: its id and `dlt_replayed`, the time. Both may be there twice after a crash
between them; consumers meet the record by its ids, so it has one effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from shared.clock import rfc3339
from shared.codec import Outgoing
from shared.errors import PermanentError
from shared.topics import DEAD_LETTERS, MAX_LETTER_BYTES

PREFIX = "dlt_"
_REPLAY_OF = PREFIX + "replay_of"
Headers = tuple[tuple[str, bytes | None], ...]
REASONS = (
    "missing_attribute", "duplicate_attribute", "unsupported_specversion", "unknown_type", "no_value",
    "invalid", "conflict", "retries_exhausted", "too_large", "too_much_at_once", "unstorable", "no_due",
    "out_of_range",
)  # fmt: skip
"""All that a record may be a dead letter for; docs/runbook.md says what each means."""


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
    headers: Headers


class Replay(NamedTuple):
    """A record that is to be published once more. `partition` is None where its key chooses it."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it was read; `facts` are its `dlt_*` headers by name without the prefix."""

    facts: dict[str, str]
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def read(cls, key: bytes | None, value: bytes | None, headers: Headers) -> Letter | None:
        """None for what is no letter: a foreign record, or the receipt of a replay."""
        facts = letter_facts(headers)
        if not {"id", "topic", "partition", "offset", "reason"} <= facts.keys():
            return None
        kept = tuple(one for one in headers if not one[0].startswith(PREFIX))
        return cls(
            facts,
            None if "null_key" in facts else key,
            None if "null_value" in facts else value,
            kept,
        )

    @property
    def id(self) -> str:
        """GROUP/TOPIC/PARTITION/OFFSET: who could not do which record."""
        return self.facts["id"]

    @property
    def is_cut(self) -> bool:
        """Whether the record itself stands only where it was."""
        return "cut" in self.facts

    def replay(self) -> Replay:
        """The record as it was, for its topic. Of one without a key the partition is kept."""
        partition = int(self.facts["partition"]) if self.key is None else None
        headers = [*self.headers, (_REPLAY_OF, self.id.encode())]
        return Replay(self.facts["topic"], partition, self.key, self.value, headers)

    def receipt(self, at: datetime) -> Outgoing:
        """What says behind the letter that it was replayed. `at` has a zone."""
        own = [(PREFIX + "id", self.id.encode()), (PREFIX + "replayed", rfc3339(at).encode())]
        return Outgoing(DEAD_LETTERS.name, self.key or self.id.encode(), b"", own)


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
        "replay_of": next((said or b"" for name, said in origin.headers if name == _REPLAY_OF), b"").decode(
            "utf-8", "replace"
        ),
    }
    own = [(PREFIX + name, text.encode()) for name, text in facts.items() if text]
    kept = [(name, content or b"") for name, content in origin.headers if not name.startswith(PREFIX)]
    letter = Outgoing(DEAD_LETTERS.name, origin.key or where.encode(), origin.value or b"", kept + own)
    if letter.size <= MAX_LETTER_BYTES:
        return letter
    cut = (PREFIX + "cut", str(letter.size).encode())
    return Outgoing(DEAD_LETTERS.name, where.encode(), b"", [*own, cut])


def letter_facts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """What the `dlt_*` headers of a dead letter say, by name without the prefix."""
    return {
        name.removeprefix(PREFIX): (content or b"").decode("utf-8", "replace")
        for name, content in headers
        if name.startswith(PREFIX)
    }
