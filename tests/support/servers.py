"""Which Kafka and MongoDB the tests use: CQM_KAFKA and CQM_MONGO, else the embedded ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.admin import ensure_topics


@dataclass(frozen=True)
class Servers:
    kind: str
    kafka: str
    mongo: str


@contextmanager
def choose_servers(folder: Path) -> Iterator[Servers]:
    kafka, mongo = os.environ.get("CQM_KAFKA"), os.environ.get("CQM_MONGO")
    assert kafka and mongo
    asyncio.run(ensure_topics(kafka))
    yield Servers("given", kafka, mongo)
