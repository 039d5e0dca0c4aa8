"""What a large batch costs in memory: the peak of a real process while it answers, above what it had."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from random import Random

import httpx
import msgspec
import pytest

from deploy.local.service import Service
from services.intake.api.routes import MAX_BATCH_BODY
from services.intake.api.splitting import MAX_ITEMS
from tests.bench import workload
from tests.support.own_process import MIB, forget_peak, own_process, resident
from tests.support.servers import Servers

LIMIT = 64 * MIB


@pytest.fixture(scope="module")
async def intake(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with own_process("intake", servers, tmp_path_factory.mktemp("intake")) as service:
        yield service


def lines(source: str) -> list[bytes]:
    """As many as a batch may have and as large as it may be, filled up with what gzip cannot shorten."""
    chance = Random(source)
    made = []
    for signal in workload.signals(MAX_ITEMS, run=source):
        room = MAX_BATCH_BODY // MAX_ITEMS - len(msgspec.json.encode(signal)) - len(b',"filler":""\n')
        signal["attributes"]["filler"] = chance.randbytes(max(0, room) // 2).hex()
        made.append(msgspec.json.encode(signal))
    return made


async def peak_above(service: Service, body: bytes, headers: dict[str, str]) -> tuple[int, int]:
    """Bytes at most above those before the call; and how many it accepted."""
    pid = service.child.pid
    assert pid is not None
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as http:
        before = resident(pid, "VmRSS")
        forget_peak(pid)
        answer = await http.post("/v1/feedback/batch", content=body, headers=headers)
        return resident(pid, "VmHWM") - before, answer.json()["accepted"]


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="the peak of a process is Linux's")
@pytest.mark.parametrize("form", ["NDJSON", "array", "NDJSON in gzip"])
async def test_a_batch_of_the_largest_size_stays_under_64_mib(intake: Service, form: str) -> None:
    made = lines(form)
    body = b"[" + b",".join(made) + b"]" if form == "array" else b"\n".join(made)
    assert MAX_BATCH_BODY * 0.99 < len(body) <= MAX_BATCH_BODY
    headers = {"content-type": "application/json" if form == "array" else "application/x-ndjson"}
    if form == "NDJSON in gzip":
        body, headers = gzip.compress(body, 1), headers | {"content-encoding": "gzip"}
    await peak_above(intake, b"\n".join(made[:500]), {"content-type": "application/x-ndjson"})
    peak, accepted = await peak_above(intake, body, headers)
    assert accepted == MAX_ITEMS
    assert peak < LIMIT, f"{peak / MIB:.0f} MiB"
