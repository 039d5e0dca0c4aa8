"""An import through the real service beside its limit: rows per second, where a row's time goes, and memory.

The limit reads the same file with csv.reader, writes each row as a JSON object of its cells, and publishes
these in batches of as many rows under the row's key, with as many headers: no mapping, rule, id or job.

`python -m tests.bench.importing --rows 1000000 --kills 5` measures, kills intake with -9 so often in the
middle, and counts the ids on the topic afterwards: each row is there, under one id. With `--xlsx` the file is
a workbook of the same rows; its limit stays that of CSV. With `--alone` the file is
read and its rows become records in this process, without servers.
"""

from __future__ import annotations

import asyncio
import csv
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import psutil
import typer
import uvloop
from openpyxl import Workbook
from rich.console import Console
from rich.table import Table

from services.intake.domain.imports import Options
from services.intake.domain.signals import Sender
from services.intake.imports.layout import find_layout, open_table
from services.intake.imports.rows import BATCH_ROWS, RowReader
from shared.codec import Outgoing
from shared.mapping import mapping_of
from shared.observability import configure_logging
from tests.bench import raw
from tests.bench.laboratory import GENERATOR, Laboratory, laboratory
from tests.bench.machine import machine, show_machine
from tests.bench.measure import Measured, Sample
from tests.bench.raw import SCRAP
from tests.bench.raw_intake import HEADERS
from tests.support.imports import FINISHED, NYC311_MAPPING, feedback_from_now, nyc311_rows
from tests.support.seals import SEALS

SOURCE = "nyc311"
_PARTS_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """`whole` is from the first row to the last; `resident_mb` the most that intake held."""

    whole: Measured
    raw: Measured
    parts_us: dict[str, float]
    resident_mb: float
    upload_seconds: float
    kills: int
    sent_again: int


async def measure(lab: Laboratory, rows: int, kills: int = 0, *, xlsx: bool = False) -> Finding:
    """Raises RuntimeError when a row is missing, or refused."""
    plain = nyc311_rows(rows, lab.folder.root / "rows.csv")
    file = _workbook(plain) if xlsx else plain
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
    limit = await raw_import(lab, plain)
    return Finding(whole, limit, parts_us(file), resident, first.at - began, kills, sent_again)


def _workbook(plain: Path) -> Path:
    """The same rows as a spreadsheet saves them: numbers are numbers, all else is text."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    with plain.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            sheet.append([int(cell) if cell.isdecimal() and cell[0] != "0" else cell for cell in row])
    book.save(plain.with_suffix(".xlsx"))
    return plain.with_suffix(".xlsx")


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


async def raw_import(lab: Laboratory, file: Path) -> Measured:
    """The limit, in this process."""
    await raw.make_scrap_topic(lab)
    first, count = _now(lab), 0
    with file.open(encoding="utf-8", newline="") as opened:
        rows = csv.reader(opened)
        header = next(rows)
        while some := list(islice(rows, BATCH_ROWS)):
            count += len(some)
            await lab.publisher.publish([_raw_record(header, row) for row in some])
    whole = Measured.between(first, _now(lab), count)
    return Measured(whole.items, whole.seconds, {GENERATOR: whole.cpu_us[GENERATOR]})


def _raw_record(header: list[str], row: list[str]) -> Outgoing:
    value = msgspec.json.encode(dict(zip(header, row, strict=True)))
    return Outgoing(SCRAP.name, row[0].encode(), value, [("ce_id", row[0].encode()), *HEADERS])


def parts_us(file: Path, rows: int = _PARTS_ROWS) -> dict[str, float]:
    """CPU microseconds per row in this process: to read the file, and to make records of it, too."""
    mapping = mapping_of(NYC311_MAPPING.read_bytes(), "nyc311.yaml")
    found = {}
    with file.open("rb") as opened:
        encoding = "utf-8" if file.suffix == ".csv" else ""
        layout, start = find_layout(opened, encoding, Options(), mapping.columns)
        table = open_table(opened, layout, file.stat().st_size)
        batches = RowReader(table, mapping, Sender("api", ("import", "bench")), SEALS).batches
        began = time.process_time()
        count = sum(1 for _ in islice(table.rows(start), rows))
        found["read"] = (time.process_time() - began) * 1e6 / count
        began, count = time.process_time(), 0
        for batch in islice(batches(start, lambda: datetime.now(UTC)), rows // BATCH_ROWS):
            count += batch.accepted
        found["read and make records"] = (time.process_time() - began) * 1e6 / count
    return found


def _now(lab: Laboratory) -> Sample:
    return Sample(time.perf_counter(), {}, {}, lab.cpu_seconds())


def show(console: Console, finding: Finding) -> None:
    whole, limit = finding.whole, finding.raw
    per_core, raw_per_core = 1e6 / whole.cpu_us["intake"], 1e6 / limit.cpu_us[GENERATOR]
    table = Table(
        title=f"Import: [bold]{whole.rate:,.0f} rows/s[/bold] ({whole.items:,} in {whole.seconds:.1f} s, "
        f"{per_core:,.0f} per second and core of intake; the limit {raw_per_core:,.0f}: "
        f"{per_core / raw_per_core:.0%})",
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
    xlsx: Annotated[bool, typer.Option("--xlsx", help="A workbook instead of CSV.")] = False,
    alone: Annotated[bool, typer.Option("--alone", help="No servers: only what a row costs.")] = False,
) -> None:
    """Measure one import. With kills, CPU is that of the last process of intake only."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 120)
    show_machine(console, machine())
    if alone:
        return show_alone(console, rows, xlsx)
    with (
        tempfile.TemporaryDirectory(prefix="cqm-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        show(console, runner.run(_measured(Path(folder), rows, kills, xlsx)))


def show_alone(console: Console, rows: int, xlsx: bool) -> None:
    """Memory is what this process has grown by when all rows have been read."""
    with tempfile.TemporaryDirectory(prefix="cqm-bench-") as folder:
        plain = nyc311_rows(rows, Path(folder) / "rows.csv")
        file = _workbook(plain) if xlsx else plain
        before = psutil.Process().memory_info().rss
        for name, us in parts_us(file, rows).items():
            grown = (psutil.Process().memory_info().rss - before) / 2**20
            console.print(
                f"{name}: {us:.1f} us a row, {1e6 / us:,.0f} rows/s; {grown:.0f} MB more than before"
            )


async def _measured(folder: Path, rows: int, kills: int, xlsx: bool) -> Finding:
    async with laboratory(folder) as lab:
        return await measure(lab, rows, kills, xlsx=xlsx)


if __name__ == "__main__":
    typer.run(main)
