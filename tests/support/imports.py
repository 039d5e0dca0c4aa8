"""Files to import, the jobs made of them, and what of them has come to Kafka."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.topics import FEEDBACK

NYC311 = Path(__file__).parents[2] / "deploy" / "demo" / "nyc311.csv"
NYC311_MAPPING = Path(__file__).parents[2] / "deploy" / "mappings" / "nyc311.yaml"
FINISHED = ("done", "cancelled", "failed")
MAPPING = """\
source: {source}
set: {{kind: complaint}}
fields:
  external_id: id
  text: words
  occurred_at: {{column: at, format: ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y %I:%M %p"], zone: Asia/Shanghai}}
"""
WITHOUT_ID = """\
source: {source}
set: {{kind: complaint}}
fields: {{text: words}}
"""


def csv_of(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


def many(count: int) -> bytes:
    """A table for MAPPING with so many rows."""
    return csv_of(
        [("id", "words", "at"), *((n, f"late, number {n}", "2026-03-02") for n in range(count))]
    ).encode()


def nyc311_rows(count: int, to: Path) -> Path:
    """Rows of the shipped file under keys of their own."""
    with (
        NYC311.open(encoding="utf-8", newline="") as shipped,
        to.open("w", encoding="utf-8", newline="") as file,
    ):
        header, *rows = csv.reader(shipped)
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([f"n{n}", *rows[n % len(rows)][1:]] for n in range(count))
    return to


async def posted(
    http: httpx.AsyncClient, content: bytes, own: str, name: str = "some.csv", **parameters: Any
) -> httpx.Response:
    """A file with a mapping of one's own."""
    files = {"mapping": ("own.yaml", own.encode()), "file": (name, content)}
    return await http.post("/v1/imports", files=files, params=parameters)


async def ended(http: httpx.AsyncClient, identity: str, within: float = 60.0) -> dict[str, Any]:
    """The job as soon as it has ended."""
    async with asyncio.timeout(within):
        while True:
            answer = await http.get(f"/v1/imports/{identity}")
            if answer.status_code == 200 and answer.json()["state"] in FINISHED:
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.1)


async def imported(http: httpx.AsyncClient, content: bytes, mapping: str, **options: Any) -> dict[str, Any]:
    """The job of a file, from its upload to its end."""
    answer = await posted(http, content, mapping, **options)
    assert answer.status_code == 202, answer.text
    return await ended(http, answer.json()["id"])


async def refused_rows(http: httpx.AsyncClient, identity: str) -> list[dict[str, str]]:
    answer = await http.get(f"/v1/imports/{identity}/rejects.csv")
    assert answer.text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"), newline="")))


class _Said(msgspec.Struct):
    id: str
    source: str


@dataclass
class Feedback:
    """What comes to the topic of feedback from a moment on."""

    consumer: AIOKafkaConsumer
    start: dict[TopicPartition, int]

    async def ids(self, source: str) -> Counter[str]:
        """How often each id of a source has been said, up to now."""
        found: Counter[str] = Counter()
        ends = await self.consumer.end_offsets(list(self.start))
        for partition, offset in self.start.items():
            self.consumer.seek(partition, offset)
        decoder = msgspec.json.Decoder(_Said)
        behind = {partition for partition, end in ends.items() if end > self.start[partition]}
        while behind:
            for records in (await self.consumer.getmany(timeout_ms=500)).values():
                said = (decoder.decode(record.value) for record in records)
                found.update(one.id for one in said if one.source == source)
            behind = {one for one in behind if await self.consumer.position(one) < ends[one]}
        return found


@asynccontextmanager
async def feedback_from_now(kafka: str) -> AsyncIterator[Feedback]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, fetch_max_bytes=16_777_216)
    await consumer.start()
    try:
        partitions = [TopicPartition(FEEDBACK.name, n) for n in range(FEEDBACK.partitions)]
        consumer.assign(partitions)
        yield Feedback(consumer, await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()
