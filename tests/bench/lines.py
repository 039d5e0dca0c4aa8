"""What a line of a batch costs intake in this process, and what of it the limit has, too: CPU, no servers.

`python -m tests.bench.lines`: the reference mix (workload.py), in batches as a sender makes them; each
feedback is from somebody who was not heard of before, which is the dearest case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from services.intake.api.batch import reading
from services.intake.api.signals import FEEDBACK, Heard
from services.intake.domain.signals import Sender
from shared.codec import Outgoing
from shared.partitioner import partitions_of
from shared.topics import FEEDBACK as TOPIC
from tests.bench import raw_intake, workload
from tests.bench.doors import as_published
from tests.bench.parts import Parts
from tests.support.seals import SEALS, TREE

BATCH = 500
_ZSTD = 4
_TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def main(
    count: Annotated[
        int, typer.Option(min=BATCH, max=4_000, help="Feedback; keys of 4,096 are remembered.")
    ] = 3_000,
) -> None:
    """CPU microseconds per feedback, the least of five rounds."""
    parts = Parts(count)
    bodies = workload.bodies(count, BATCH, run="lines")
    sealed = [as_published(body) for body in bodies]
    read = reading(FEEDBACK, Sender("bench"), datetime.now(UTC), SEALS, _TRACE)
    heard = parts.take("read, checked, written in the normal form", lambda: [
        [read(0, line) for line in body.split(b"\n")] for body in bodies
    ])  # fmt: skip
    parts.take("the keys of all in a batch", lambda: _learnt(heard))
    records = parts.take("sealed, and made a record", lambda: [
        [one.receive().record for one in batch] for batch in heard
    ])  # fmt: skip
    parts.take("packed for Kafka, with zstd", lambda: [_packed(batch) for batch in records])
    plain = parts.take("limit: decoded, and made a record", lambda: [
        [raw_intake.record(line) for line in body.split(b"\n")] for body in sealed
    ])  # fmt: skip
    parts.take("limit: packed for Kafka, with zstd", lambda: [_packed(batch) for batch in plain])
    parts.show()


def _learnt(heard: Sequence[Sequence[Heard]]) -> bool:
    SEALS.use(TREE)  # which forgets what was asked before
    for batch in heard:
        SEALS.learn(one.whose for one in batch)
    return True


def _packed(records: Sequence[Outgoing]) -> int:
    """Bytes, as aiokafka packs what goes to each partition."""
    partitions = partitions_of([one.key for one in records], TOPIC.partitions)
    by_partition: defaultdict[int, list[Outgoing]] = defaultdict(list)
    for one, partition in zip(records, partitions, strict=True):
        by_partition[partition].append(one)
    size = 0
    for group in by_partition.values():
        builder = DefaultRecordBatchBuilder(2, _ZSTD, False, -1, -1, 0, 1 << 20)
        for place, one in enumerate(group):
            builder.append(place, None, one.key, one.value, one.headers)
        size += len(builder.build())
    return size


if __name__ == "__main__":
    typer.run(main)
