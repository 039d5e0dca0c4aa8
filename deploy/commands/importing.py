"""`cqm import`: a table into a running system, every row accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.addresses import find
from deploy.commands.terminal import (
    FINDING,
    INTERRUPTED,
    OK,
    AsJson,
    DataDir,
    end,
    line,
    note,
    out,
    plain,
    run,
    table,
    write_json,
)


def register(app: typer.Typer) -> None:
    @app.command("import")
    def import_(
        file: Annotated[Path, typer.Argument(help="A CSV or XLSX file with a header row.")],
        mapping: Annotated[str, typer.Option(help="Name of a mapping that intake has, or a YAML file.")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would become.")] = False,
        encoding: Annotated[str, typer.Option(help="utf-8, gb18030, utf-16 [found out].")] = "",
        delimiter: Annotated[str, typer.Option(help="Between cells; tab, too [found out].")] = "",
        quote: Annotated[str, typer.Option(help='Around cells, or none ["].')] = "",
        rejects: Annotated[
            Path | None, typer.Option(help="Where rejected rows go [FILE.rejects.csv].")
        ] = None,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Import a file: it goes on without this command, and importing it twice adds nothing."""
        from deploy.commands.import_job import ImportJob

        options = {"encoding": encoding, "delimiter": delimiter, "quote": quote}
        job = ImportJob.checked(file, mapping, rejects, options, find(data_dir))
        try:
            answer = run(job.dry_run() if dry_run else job.run())
        except KeyboardInterrupt:
            _detached(job.identity, job.url)
            end(INTERRUPTED)
        else:
            if as_json:
                write_json(answer)
            else:
                (_show_dry_run if dry_run else _show)(answer)
            end(FINDING if answer["rejects"] else OK)


def _detached(identity: str, url: str) -> None:
    if not identity:
        note("stopped before intake had the file; the same command begins again")
        return
    note("the import goes on without this command; the same command shows it again")
    note(f"  look:   curl {url}")
    note(f"  cancel: curl -X DELETE {url}")


def _show(summary: dict[str, Any]) -> None:
    if summary["attached"]:
        line("this file was being imported already")
    line(
        f"{summary['rows']:,} rows: {summary['accepted']:,} taken, {summary['rejected']:,} rejected, "
        f"in {summary['seconds']:.1f} s ({summary['rows_per_second']:,.0f} rows/s)",
        "bold",
    )
    if summary["rejected"]:
        _show_rejects(summary["rejects"])
        line(f"all rejected rows, with their reasons, are in {summary['rejects_file']}")


def _show_dry_run(found: dict[str, Any]) -> None:
    how = [found["format"], found["encoding"], found["delimiter"] and f"between cells {found['delimiter']!r}"]
    line(", ".join(filter(None, how)), "bold")
    names = sorted({name for row in found["rows"] for name in _flat(row["feedback"])})
    shown = table("row", *names, right=("row",))
    for row in found["rows"]:
        flat = _flat(row["feedback"])
        shown.add_row(str(row["row"]), *(plain(flat.get(name, "")) for name in names))
    out.print(shown)
    line(f"columns that the mapping does not use: {plain(', '.join(found['unmapped'])) or 'none'}")
    line(f"{found['looked_at']:,} rows were looked at, {len(found['rejects']):,} of them would be rejected")
    if found["rejects"]:
        _show_rejects(found["rejects"])


def _show_rejects(rejects: list[dict[str, Any]]) -> None:
    shown = table("row", "column", "reason", right=("row",))
    for rejected in rejects[:20]:
        shown.add_row(str(rejected["row"]), plain(rejected["column"]), plain(rejected["reason"]))
    out.print(shown)


def _flat(feedback: dict[str, Any]) -> dict[str, Any]:
    """`{"customer": {"id": ...}}` as `{"customer.id": ...}`."""
    flat: dict[str, Any] = {}
    for name, value in feedback.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat
