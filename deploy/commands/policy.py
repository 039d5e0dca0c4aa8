"""`cqm policy check`: a policy's findings by file and line, before it is put in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from deploy.commands.terminal import FINDING, OK, USAGE, AsJson, Failure, end, line, write_json


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The organisation as data.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="policy")

    # A group of one command would be that command; more follow.
    @group.callback()
    def policy() -> None:
        """The organisation as data."""

    @group.command()
    def check(
        files: Annotated[list[Path], typer.Argument(help="Files and folders, read as one policy.")],
        as_json: AsJson = False,
    ) -> None:
        """Lint a policy: every finding with its file and line."""
        missing = [str(file) for file in files if not file.exists()]
        if missing:
            raise Failure(f"there is no {', '.join(missing)}", "", USAGE)
        from shared.policy import check as lint

        findings = lint(files, datetime.now(UTC).date())
        errors = sum(finding.severity == "error" for finding in findings)
        if as_json:
            write_json([msgspec.to_builtins(finding) for finding in findings])
        else:
            for finding in findings:
                line(str(finding), "red" if finding.severity == "error" else "yellow")
            line(f"{errors} errors, {len(findings) - errors} warnings", "bold")
        end(FINDING if errors else OK)
