"""docs/topics.md: the topics for people who read, feed or operate them."""

from __future__ import annotations

from shared.contracts.wire import DEAD_LETTER_HEADERS, HEADERS, OPTIONAL_HEADERS, group_of, heard_by
from shared.topics import MAX_RECORD_BYTES, TOPICS, Topic

_HEAD = """\
# Topics

<!-- Written by `python -m shared.contracts` from shared/topics.py; `make docs` writes it anew. -->

`cqm topics --create` makes them; one that exists keeps its settings, and gets more partitions where it has
fewer. With three brokers and more they are kept three times, and two must have a record before it counts.
"""
_READING = f"""\
## What a record looks like

The value is the event as JSON; its JSON Schema is `shared/contracts/TYPE.schema.json`. Consumers ignore
fields that they do not know, and a field that is absent has its default. The attributes travel as headers
(CloudEvents 1.0, Kafka binding, binary mode). With them a record has at most {MAX_RECORD_BYTES:,} bytes.

{{headers}}

A key is bytes: text on topics that are keyed by a name, the 16 bytes of the UUID where it is "16 bytes". The
CloudEvents SDK for Python takes every key for UTF-8 text: leave the key out where it is not one
(`KafkaMessage(headers, None, value)`). Java's clients, and `kcat` with `-X partitioner=murmur2_random`,
choose the same partition for a key as CQM does.

```
kcat -C -b 127.0.0.1:9092 -t cqm.feedback.v1 -o beginning -e -f '%p/%o  %h\\n%s\\n\\n'
```

## What a dead letter looks like

The record that failed as it was, key, value and headers, and these headers besides:

{{letters}}
"""


def topic_table() -> str:
    """The whole document."""
    rows = [_row(topic) for topic in TOPICS]
    columns = ("topic", "events", "key", "partitions", "kept", "said by", "read by (consumer group)")
    reading = _READING.format(
        headers=_table(
            ("header", "", "meaning"),
            [
                (f"`{name}`", "may be absent" if name in OPTIONAL_HEADERS else "", meaning)
                for name, meaning in HEADERS.items()
            ],
        ),
        letters=_table(
            ("header", "meaning"), [(f"`{name}`", text) for name, text in DEAD_LETTER_HEADERS.items()]
        ),
    )
    return f"{_HEAD}\n{_table(columns, rows)}\n\n{reading}"


def _row(topic: Topic) -> tuple[str, ...]:
    events = "<br>".join(f"`{event.type}`" for event in topic.events) or "any record that failed"
    kept = "for ever" if topic.retention_days is None else f"{topic.retention_days} days"
    readers = "<br>".join(
        f"{reader} (`{group_of(reader, topic)}`)" if topic in heard_by(reader) and topic.events else reader
        for reader in topic.consumers
    )
    return f"`{topic.name}`", events, topic.key, str(topic.partitions), kept, topic.producer, readers


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
