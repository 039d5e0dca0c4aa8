"""What was found, for people (tables) and for programs (JSON)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import chain, doors, importing, stages
from tests.bench.laboratory import GENERATOR
from tests.bench.measure import Measured


def show_doors(console: Console, findings: list[doors.Finding]) -> None:
    title = f"Intake's doors beside their limits, medians of {doors.ROUNDS} rounds (CPU in us per feedback)"
    table = Table(title=title, title_justify="left")
    table.add_column("way in")
    for name in ("feedback/s", "raw/s", "ratio", "target", "service", "raw service", "Kafka", "generator"):
        table.add_column(name, justify="right")
    for finding in findings:
        real, limit = finding.real, finding.raw
        cpu = [real.cpu_us["service"], limit.cpu_us["service"], real.cpu_us["Kafka"], real.cpu_us[GENERATOR]]
        table.add_row(
            finding.way.name, f"{real.rate:,.0f}", f"{limit.rate:,.0f}", f"{finding.share:.0%}",
            f"{finding.way.target:.0%}", *(f"{us:.0f}" for us in cpu),
        )  # fmt: skip
    console.print(table)


def show_stages(console: Console, findings: list[stages.Finding]) -> None:
    table = Table(title="Each stage alone, beside its raw limit (CPU in us per item)", title_justify="left")
    for name in ("stage", "item"):
        table.add_column(name)
    for name in ("items", "items/s", "raw/s", "ratio", "service", "Kafka", "mongod", "sum", "raw sum"):
        table.add_column(name, justify="right")
    for finding in findings:
        real, limit, name = finding.real, finding.raw, finding.stage.name
        cpu = [real.cpu_us[part] for part in (name, "Kafka", "mongod")]
        table.add_row(
            name, finding.stage.item, f"{real.items:,}", f"{real.rate:,.0f}", f"{limit.rate:,.0f}",
            f"{real.rate / limit.rate:.0%}", *(f"{us:.0f}" for us in cpu), f"{sum(cpu):.0f}",
            f"{sum(limit.cpu_us.values()):.0f}",
        )  # fmt: skip
    console.print(table)
    for finding in findings:
        if naive := finding.naive:
            console.print(
                f"The tutorial way takes {naive.rate:,.0f} {finding.stage.item}/s "
                f"({sum(naive.cpu_us.values()):,.0f} us of CPU each): {finding.stage.name} is "
                f"{finding.real.rate / naive.rate:.1f} times as fast.",
                highlight=False,
            )


def show_chain(console: Console, finding: chain.Finding) -> None:
    whole = finding.whole
    table = Table(
        title=f"All four services: [bold]{whole.rate:,.0f} feedback/s[/bold] sustained "
        f"({whole.items:,} in {whole.seconds:.1f} s, until nothing waited anywhere)",
        title_justify="left",
    )
    table.add_column("process")
    table.add_column("CPU us per feedback", justify="right")
    table.add_column("resident MB", justify="right")
    for name, us in sorted(whole.cpu_us.items(), key=lambda entry: -entry[1]):
        table.add_row(name, f"{us:.0f}", f"{finding.resident_mb[name]:.0f}")
    table.add_section()
    table.add_row("sum", f"{sum(whole.cpu_us.values()):.0f}", f"{sum(_system(finding).values()):.0f}")
    console.print(table)
    console.print("[dim]Resident memory: the sum is without the generator.[/dim]")
    console.print(
        f"Submit to assigned at {finding.paced_rate:,.0f} feedback/s (n = {finding.assignments:,}): "
        f"decided p50 {finding.decided.p50:.0f} ms, p99 {finding.decided.p99:.0f} ms; "
        f"stored and on Kafka p50 {finding.told.p50:.0f} ms, p99 {finding.told.p99:.0f} ms "
        f"(generator late by p99 {finding.late.p99:.0f} ms)",
        highlight=False,
    )


def document(
    found: dict[str, Any],
    ways: list[doors.Finding],
    alone: list[stages.Finding],
    whole: chain.Finding | None,
    imported: importing.Finding | None = None,
) -> dict[str, Any]:
    """Everything as plain data; rates in items per second, CPU in microseconds per item."""
    return {
        "machine": found,
        "doors": [
            {
                "way": finding.way.name,
                "target": finding.way.target,
                "real": _measured(finding.real),
                "raw": _measured(finding.raw),
            }
            for finding in ways
        ],
        "stages": [
            {
                "stage": finding.stage.name,
                "item": finding.stage.item,
                "real": _measured(finding.real),
                "raw": _measured(finding.raw),
                "tutorial": finding.naive and _measured(finding.naive),
            }
            for finding in alone
        ],
        "import": imported
        and asdict(imported) | {"whole": _measured(imported.whole), "raw": _measured(imported.raw)},
        "chain": whole and asdict(whole) | {"whole": _measured(whole.whole)},
    }


def _measured(measured: Measured) -> dict[str, Any]:
    return {"rate": measured.rate, **asdict(measured)}


def _system(finding: chain.Finding) -> dict[str, float]:
    return {name: mb for name, mb in finding.resident_mb.items() if name != GENERATOR}
