"""An import through the real service: rows per second, where a row's time goes, and memory.

`python -m tests.bench.importing --rows 1000000 --kills 5` measures, kills intake with -9 so often in the
middle, and counts the ids on the topic afterwards: each row is there, under one id.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from services.intake.domain.imports import Options
from services.intake.domain.signals import Sender
from services.intake.imports.layout import find_layout, open_table
from services.intake.imports.rows import RowReader
from shared.mapping import mapping_of
from shared.observability import configure_logging
from tests.bench.laboratory import Laboratory, laboratory
from tests.bench.measure import Measured, Sample
from tests.bench.report import machine, show_machine
from tests.support.imports import FINISHED, NYC311_MAPPING, feedback_from_now, nyc311_rows

SOURCE = "nyc311"
_PARTS_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """`whole` is from the first row to the last; `resident_mb` the most that intake held."""

    whole: Measured
    parts_us: dict[str, float]
    resident_mb: float
    upload_seconds: float
    kills: int
    sent_again: int


async def measure(lab: Laboratory, rows: int, kills: int = 0) -> Finding:
    """Raises RuntimeError when a row is missing, or refused."""
    file = nyc311_rows(rows, lab.folder.root / "rows.csv")
    service = await lab.start("intake")
    await service.until_ready(service.start_seconds)
    async with feedback_from_now(lab.servers.kafka) as feedback:
        began = time.perf_counter()
        async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=300.0) as client:
            parts = {"mapping": NYC311_MAPPING.read_bytes(), "file": file.open("rb")}
            answer = await client.post("/v1/imports", files=parts)
        answer.raise_for_status()
        first = _now(lab)
        job, resident = await _followed(lab, answer.json()["id"], rows, kills)
        last = _now(lab)
        ids = await feedback.ids(SOURCE)
    await lab.stop("intake")
    if (job["state"], job["accepted"], len(ids)) != ("done", rows, rows):
        raise RuntimeError(f"{rows} rows, but {len(ids)} ids on the topic, and {job}")
    whole = Measured.between(first, last, rows)
    sent_again = ids.total() - rows
    return Finding(whole, parts_us(file), resident, first.at - began, kills, sent_again)


async def _followed(lab: Laboratory, identity: str, rows: int, kills: int) -> tuple[dict[str, Any], float]:
    """The job at its end, and the most megabytes that intake held. Kills it at equal distances."""
    left = [rows * number // (kills + 1) for number in range(1, kills + 1)]
    resident = 0.0
    while True:
        url = lab.services["intake"].url
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10.0) as client:
            job: dict[str, Any] = (await client.get(f"/v1/imports/{identity}")).json()
        resident = max(resident, lab.resident_mb()["intake"])
        if job["state"] in FINISHED:
            return job, resident
        if left and job["rows"] > left[0]:
            left.pop(0)
            await lab.services["intake"].child.kill()
            await lab.stop("intake")
            service = await lab.start("intake")
            await service.until_ready(service.start_seconds)
        await asyncio.sleep(0.2)  # the pace of looking


def parts_us(file: Path) -> dict[str, float]:
    """CPU microseconds per row in this process: to read CSV, then to map too, then to make records too."""
    mapping, now = mapping_of(NYC311_MAPPING.read_bytes(), "nyc311.yaml"), datetime.now(UTC)
    found = {}
    with file.open("rb") as opened:
        layout, start = find_layout(opened, "utf-8", Options(), mapping.columns)
        sender = Sender("api", ("import", "bench"))
        for part in ("read", "read and map", "read, map and make records"):
            table = open_table(opened, layout, file.stat().st_size)
            reader = RowReader(table, mapping, sender, b"")
            began, count = time.process_time(), 0
            for line in islice(table.rows(start), _PARTS_ROWS):
                count += 1
                if part != "read":
                    body = reader.feedback(line)
                    if part != "read and map":
                        reader.record(line, body, now)
            found[part] = (time.process_time() - began) * 1e6 / max(count, 1)
    return found


def _now(lab: Laboratory) -> Sample:
    return Sample(time.perf_counter(), {}, {}, lab.cpu_seconds())


def show(console: Console, finding: Finding) -> None:
    whole = finding.whole
    table = Table(
        title=f"Import: [bold]{whole.rate:,.0f} rows/s[/bold] ({whole.items:,} in {whole.seconds:.1f} s, "
        f"{1e6 / whole.cpu_us['intake']:,.0f} per second and core of intake)",
        title_justify="left",
    )
    table.add_column("process")
    table.add_column("CPU us per row", justify="right")
    for name, us in sorted(whole.cpu_us.items(), key=lambda entry: -entry[1]):
        table.add_row(name, f"{us:.1f}")
    table.add_section()
    for name, us in finding.parts_us.items():
        table.add_row(f"alone: {name}", f"{us:.1f}")
    console.print(table)
    console.print(
        f"Upload {finding.upload_seconds:.1f} s; intake held {finding.resident_mb:.0f} MB at most; "
        f"{finding.kills} kills, {finding.sent_again:,} rows sent again with the same ids",
        highlight=False,
    )


def main(
    rows: Annotated[int, typer.Option(min=1000)] = 200_000,
    kills: Annotated[int, typer.Option(min=0, help="So often intake is killed in the middle.")] = 0,
) -> None:
    """Measure one import. With kills, CPU is that of the last process of intake only."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 120)
    show_machine(console, machine())
    with (
        tempfile.TemporaryDirectory(prefix="cqm-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        show(console, runner.run(_measured(Path(folder), rows, kills)))


async def _measured(folder: Path, rows: int, kills: int) -> Finding:
    async with laboratory(folder) as lab:
        return await measure(lab, rows, kills)


if __name__ == "__main__":
    typer.run(main)
