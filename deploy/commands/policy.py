"""`cqm policy check` and `cqm policy explain`: a policy examined and asked, before it is put in force."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from deploy.commands.terminal import (
    FINDING,
    OK,
    USAGE,
    AsJson,
    Failure,
    end,
    line,
    plain,
    write_json,
)

_MOST_BYTES = 1_000_000


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The organisation as data.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="policy")

    @group.command()
    def check(
        files: Annotated[list[Path], typer.Argument(help="Files and folders, read as one policy.")],
        strict: Annotated[bool, typer.Option("--strict", help="Warnings make exit code 1, too.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Lint a policy: every finding with its file and line."""
        _must_exist(files)
        from shared.policy import check as lint

        findings = lint(files, datetime.now(UTC).date())
        errors = sum(finding.severity == "error" for finding in findings)
        if as_json:
            write_json([msgspec.to_builtins(finding) for finding in findings])
        else:
            for finding in findings:
                line(plain(finding), "red" if finding.severity == "error" else "yellow")
            line(f"{errors} errors, {len(findings) - errors} warnings", "bold")
        end(FINDING if errors or (strict and findings) else OK)

    @group.command()
    def explain(
        feedback: Annotated[
            Path, typer.Argument(help="One feedback as on POST /v1/feedback; - is standard input.")
        ],
        policy: Annotated[
            Path | None, typer.Option(envvar="CQM_POLICY", help="Folder of a policy (default: the demo's).")
        ] = None,
        lang: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sentences.")] = "en",
        as_json: AsJson = False,
    ) -> None:
        """Say what the policy decides about a feedback, and why. Nothing is changed."""
        from shared.policy import NotFeedback, feedback_as_said, load_policy, sentences
        from shared.policy import explain as explained
        from shared.settings import DEMO_POLICY

        folder = policy or DEMO_POLICY
        _must_exist([folder])
        loaded = load_policy(folder)
        try:
            said = feedback_as_said(_content(feedback), datetime.now(UTC))
        except NotFeedback as error:
            raise Failure(plain(error), "docs/intake.md says what a feedback holds") from error
        explanation = explained(said, loaded, lang)
        told = sentences(explanation, loaded, lang)
        if as_json:
            write_json({**msgspec.to_builtins(explanation), "sentences": told})
        else:
            for sentence in told:
                line(plain(sentence))


def _must_exist(files: list[Path]) -> None:
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise Failure(f"there is no {', '.join(missing)}", "", USAGE)


def _content(file: Path) -> bytes:
    if str(file) == "-":
        content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    elif not file.is_file():
        raise Failure(f"there is no {file}", "", USAGE)
    else:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise Failure("a feedback is at most 1 MB")
    return content
