"""`python -m tests.bench`: measure, print, and write the figures as JSON where asked."""

import asyncio
import json
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from shared.observability import configure_logging
from tests.bench import chain, doors, figure, importing, report, stages
from tests.bench.laboratory import laboratory
from tests.bench.machine import machine, show_machine

IMPORTED = 4
"""Rows of an import for each feedback of another part: they are that much quicker."""


class Part(StrEnum):
    """What may be measured by itself; a consuming stage needs those before it, which feed it."""

    INTAKE = "intake"
    ROUTING = "routing"
    SLA = "sla"
    ANALYTICS = "analytics"
    CHAIN = "chain"
    IMPORTS = "imports"


def main(
    stage: Annotated[
        Part | None,
        typer.Option(help="Only intake's doors or imports, a stage and those that feed it, or the chain."),
    ] = None,
    count: Annotated[int, typer.Option(min=1000, help="Feedback per part.")] = 15_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    svg_file: Annotated[Path | None, typer.Option("--svg", help="Draw the figures here (figure.py).")] = None,
) -> None:
    """Feedback per second through all four services, and each stage beside its raw limit."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 120)
    with (
        tempfile.TemporaryDirectory(prefix="cqm-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        document = runner.run(_measure(console, Path(folder), stage, count))
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"Figures as JSON: {json_file}")
    if svg_file is not None:
        svg_file.write_text(figure.draw(document), encoding="utf-8")
        console.print(f"Figures drawn: {svg_file}")


async def _measure(console: Console, folder: Path, part: Part | None, count: int) -> dict[str, object]:
    found = machine()
    show_machine(console, found)
    ways: list[doors.Finding] = []
    alone: list[stages.Finding] = []
    whole = None
    if part in (None, Part.INTAKE):
        async with laboratory(folder / "doors") as lab:
            ways = [finding async for finding in doors.measure(lab, count)]
        report.show_doors(console, ways)
    imported = None
    if part in (None, Part.IMPORTS):
        async with laboratory(folder / "imports") as lab:
            imported = await importing.measure(lab, IMPORTED * count)
        importing.show(console, imported)
    if part not in (Part.INTAKE, Part.CHAIN, Part.IMPORTS):
        async with laboratory(folder / "stages") as lab:
            async for finding in stages.measure(lab, count, part or Part.ANALYTICS):
                console.print(f"[dim]{finding.stage.name}: {finding.real.rate:,.0f}/s[/dim]")
                alone.append(finding)
        report.show_stages(console, alone)
    if part in (None, Part.CHAIN):
        async with laboratory(folder / "chain") as lab:
            whole = await chain.measure(lab, count)
        report.show_chain(console, whole)
    return report.document(found, ways, alone, whole, imported)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
