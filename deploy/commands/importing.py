"""`cqm import`: a CSV file into a running system, every row accounted for."""

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
        file: Annotated[Path, typer.Argument(help="A CSV file in UTF-8 with a header row.")],
        mapping: Annotated[str, typer.Option(help="Name of a shipped mapping, or a YAML file.")],
        rejects: Annotated[
            Path | None, typer.Option(help="Where rejected rows go [FILE.rejects.csv].")
        ] = None,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Import a file: Ctrl-C and again goes on where it was, and importing it twice adds nothing."""
        from deploy.commands.import_job import Job

        job = Job.checked(file, mapping, rejects, find(data_dir))
        try:
            summary = run(job.run())
        except KeyboardInterrupt:
            note("stopped; the same command goes on where it was")
            end(INTERRUPTED)
        else:
            write_json(summary) if as_json else _show(summary)
            end(FINDING if summary["rejected"] else OK)


def _show(summary: dict[str, Any]) -> None:
    went_on = summary["resumed_after_row"]
    if went_on:
        line(f"went on after row {went_on:,} of an earlier run")
    line(
        f"{summary['rows']:,} rows: {summary['accepted']:,} taken, {summary['rejected']:,} rejected, "
        f"in {summary['seconds']:.1f} s ({summary['rows_per_second']:,.0f} rows/s)",
        "bold",
    )
    if not summary["rejected"]:
        return
    shown = table("row", "column", "reason", right=("row",))
    for rejected in summary["rejects"]:
        shown.add_row(str(rejected["row"]), plain(rejected["column"]), plain(rejected["reason"]))
    out.print(shown)
    line(f"all rejected rows, with their reasons, are in {summary['rejects_file']}")
