"""`cqm erase`: nothing that a customer said can be read any more (docs/security.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deploy.commands.terminal import (
    FINDING,
    USAGE,
    AsJson,
    DataDir,
    Failure,
    MongoUri,
    end,
    line,
    run,
    write_json,
)

if TYPE_CHECKING:
    from deploy.commands.erasing import Erased


SHOWN = 10
"""References of cases on the screen."""


def register(app: typer.Typer) -> None:
    @app.command()
    def erase(
        customer: Annotated[str, typer.Argument(help="The customer's id, or with --feedback a feedback's.")],
        feedback: Annotated[
            bool,
            typer.Option("--feedback", help="Of somebody who gave a name, phone or email, but no id."),
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask; nobody can undo it.")] = False,
        unknown: Annotated[
            bool, typer.Option("--unknown", help="Although nothing of this customer is stored.")
        ] = False,
        mongo: MongoUri = None,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Destroy the key of a customer's words: names, texts and notes are gone for good, in MongoDB, on
        Kafka, among dead letters and in copies of them. What is counted stays. Who speaks again is heard."""
        # the key is that of the id as intake writes it: any other spelling of it has a key that seals nothing
        identity = _identity(customer) if feedback else None
        name = str(identity) if identity else customer
        if not yes and not typer.confirm(f"Erase {name!r} for good?", default=False, err=True):
            raise Failure("nothing was erased", "`--yes` for a script", USAGE)
        from deploy.commands.erasing import erase_person

        found = run(erase_person(data_dir, mongo, name, identity, unknown=unknown))
        if found is None:
            raise Failure(
                "nothing of this customer is stored, and nothing was erased",
                "look at the id; `--unknown` destroys the key all the same",
                FINDING,
            )
        if as_json:
            write_json(asdict(found))
        else:
            _tell(found)
        end(FINDING if found.files or found.merged else 0)


def _identity(text: str) -> UUID:
    """The id of a feedback, however it is written. Raises Failure."""
    try:
        return UUID(text)
    except ValueError:
        raise Failure("--feedback needs the id of a feedback", "", USAGE) from None


def _tell(erased: Erased) -> None:
    line("erased: nobody can read any more what this customer said, or what was written of it", "green")
    line(
        f"still counted: {erased.feedback} feedback, {erased.activities} activities, {erased.cases} cases"
        + (f"; {erased.rejects} refused rows of imports were deleted" if erased.rejects else "")
    )
    if not erased.certain:
        line(
            "it may have given no name, phone or email: then it was never sealed, and is still readable",
            "yellow",
        )
    if rows := erased.unread.rows:
        ended = erased.unread.ended
        of = "their imports end" if ended is None else f"{ended:%Y-%m-%d %H:%M} UTC"
        line(f"refused rows that could not be read: {rows}, which may name them too", "yellow")
        line(f"  -> kept until CQM_IMPORT_DAYS (30) after {of}; rejects.csv of each import shows its own")
    if erased.files:
        line(
            f"stored files of imports: {erased.files}, which can be read until the imports are over", "yellow"
        )
        line("  -> `cqm erase` again once they are")
    if erased.merged:
        shown = ", ".join(erased.merged[:SHOWN]) + (", ... (--json has all)" if erased.merged[SHOWN:] else "")
        line(f"their cases were merged into those of somebody else: {shown}", "yellow")
        line("  -> look at what was written there of this person: it has the other's key, or none")
