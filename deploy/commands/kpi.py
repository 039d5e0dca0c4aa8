"""`cqm kpi`: a figure as a table with bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.addresses import find
from deploy.commands.api import Parameters, opened
from deploy.commands.terminal import (
    USAGE,
    AsJson,
    DataDir,
    Failure,
    line,
    out,
    plain,
    run,
    table,
    write_json,
)

FORMATS = ("csv", "parquet")
BAR = 30
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def register(app: typer.Typer) -> None:
    @app.command()
    def kpi(
        name: Annotated[str | None, typer.Argument(help="Without a name: the catalogue.")] = None,
        by: Annotated[list[str] | None, typer.Option(help="A dimension; up to two.")] = None,
        from_: Annotated[str | None, typer.Option("--from", help="RFC 3339, or a date.")] = None,
        to: Annotated[str | None, typer.Option(help="RFC 3339, or a date; exclusive.")] = None,
        grain: Annotated[str | None, typer.Option(help="hour, day, week, month or all")] = None,
        where: Annotated[
            list[str] | None, typer.Option("--filter", help="DIMENSION:VALUE, repeatable")
        ] = None,
        stat: Annotated[str | None, typer.Option(help="p50, p90, p95, p99 or mean, of a time")] = None,
        clock: Annotated[str | None, typer.Option(help="business or wall, of a time")] = None,
        target: Annotated[
            str | None, typer.Option(help="first_response, update or resolution, of sla_attainment")
        ] = None,
        scale: Annotated[str | None, typer.Option(help="1-7, 1-5, 1-10 or 0-10, of ces")] = None,
        zone: Annotated[str | None, typer.Option(help="IANA time zone of days and weeks")] = None,
        save: Annotated[
            Path | None, typer.Option(help="Write it to a file instead: FILE.csv or FILE.parquet.")
        ] = None,
        records: Annotated[
            bool, typer.Option("--records", help="With --save: all records that it counts.")
        ] = False,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """A figure by dimensions and time; without a name, what can be asked."""
        asked = {
            "by": by,
            "from": from_,
            "to": to,
            "grain": grain,
            "filter": where,
            "stat": stat,
            "clock": clock,
            "target": target,
            "scale": scale,
            "zone": zone,
        }
        parameters: Parameters = {key: value for key, value in asked.items() if value}
        if save is not None or records:
            return _save(name, parameters, save, records, data_dir)
        answer = run(_ask(name, parameters, data_dir))
        if as_json:
            write_json(answer)
        elif name is None:
            _show_catalogue(answer)
        else:
            show_figure(answer)


async def _ask(name: str | None, parameters: Parameters, data_dir: DataDir) -> Any:
    async with opened(find(data_dir)) as api:
        return await api.get("analytics", f"/v1/kpis/{name}" if name else "/v1/kpis", parameters)


def _save(
    name: str | None, parameters: Parameters, to: Path | None, records: bool, data_dir: Path | None
) -> None:
    if name is None or to is None:
        raise Failure("A file holds one figure", "cqm kpi NAME --save FILE.csv", USAGE)
    form = to.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise Failure(f"{to} ends neither in .csv nor in .parquet", "", USAGE)
    # a spreadsheet takes a CSV file for UTF-8 only with a byte order mark
    parameters |= {"format": form} | ({"bom": "true"} if form == "csv" else {})
    path = f"/v1/kpis/{name}/records" if records else f"/v1/kpis/{name}"

    async def saved() -> None:
        async with opened(find(data_dir)) as api:
            await api.download("analytics", path, parameters, to)

    try:
        run(saved())
    except OSError as error:
        raise Failure(f"{to} cannot be written: {error.strerror or error}") from error
    line(f"{to}: {to.stat().st_size:,} bytes")


def _show_catalogue(answer: Any) -> None:
    shown = table("name", "unit", "better", "dimensions")
    for entry in answer["items"]:
        shown.add_row(entry["name"], entry["unit"], entry["direction"], ", ".join(entry["dimensions"]))
    out.print(shown)


def show_figure(answer: Any, most_rows: int = 200) -> None:
    """Its total, and one row per value and period, the largest first where there is but one period."""
    total, unit = answer["total"], answer["unit"]
    line(f"{answer['name']}: {value_text(total['value'], unit)} (n = {total['n']:,})", "bold")
    rows = [(series["key"], point) for series in answer["series"] for point in series["points"]]
    if not any(key for key, _ in rows) and len(rows) <= 1:
        return
    periods = len({point["start"] for _, point in rows})
    if periods == 1:
        rows.sort(key=lambda row: -(row[1]["value"] or 0))
    dimensions = list(rows[0][0])
    times = ["from"] if periods > 1 else []
    shown = table(*times, *dimensions, "value", "n", "", right=("value", "n"))
    largest = max((abs(point["value"] or 0) for _, point in rows), default=0)
    for key, point in rows[:most_rows]:
        shown.add_row(
            *[point["start"][:16].replace("T", " ")] * len(times),
            *(plain(key[dimension] or "-") for dimension in dimensions),
            value_text(point["value"], unit),
            f"{point['n']:,}",
            bar(point["value"], largest),
        )
    out.print(shown)
    if len(rows) > most_rows:
        line(f"... and {len(rows) - most_rows:,} more; --json has them all")


def value_text(value: float | None, unit: str) -> str:
    """A figure as a person writes it; "-" where nothing was counted."""
    if value is None:
        return "-"
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    if unit == "seconds":
        return span_text(value)
    return f"{value:,.0f}" if unit == "count" else f"{value:,.1f}"


def span_text(seconds: float) -> str:
    """Seconds in the largest unit that leaves at least one of it: 90 is 1.5 min."""
    for size, unit in _SPANS:
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def bar(value: float | None, largest: float) -> str:
    """A bar in eighths of a character; empty for nothing and for what is below zero."""
    if not value or value < 0 or not largest:
        return ""
    eighths = max(1, round(8 * BAR * value / largest))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
