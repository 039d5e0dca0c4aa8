"""`cqm erase`: nothing that a customer said can be read any more (docs/security.md)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.checkup import needed
from deploy.commands.doctor import surroundings
from deploy.commands.terminal import (
    FINDING,
    USAGE,
    AsJson,
    DataDir,
    Failure,
    MongoUri,
    end,
    line,
    note,
    run,
    write_json,
)

if TYPE_CHECKING:
    from shared.mongo import Collection, Document, Mongo


@dataclass(frozen=True)
class Erased:
    """What is counted on, without words: feedback, activities and cases of the customer. `rejects`: rows of
    imports that were refused and named the customer, deleted; `imports`: those that are not done yet."""

    feedback: int
    activities: int
    cases: int
    rejects: int
    imports: int

    @property
    def known(self) -> bool:
        return any((self.feedback, self.activities, self.cases, self.rejects))


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
        if not yes and not typer.confirm(f"Erase {customer!r} for good?", default=False, err=True):
            raise Failure("nothing was erased", "`--yes` for a script", USAGE)
        erased = run(_erase(data_dir, mongo, customer, of_feedback=feedback, unknown=unknown))
        if erased is None:
            raise Failure(
                "nothing of this customer is stored, and nothing was erased",
                "look at the id; `--unknown` destroys the key all the same",
                FINDING,
            )
        if as_json:
            write_json(asdict(erased))
        else:
            _tell(erased)
        end(FINDING if erased.imports else 0)


async def _erase(
    data_dir: Path | None, mongo: str | None, name: str, *, of_feedback: bool, unknown: bool
) -> Erased | None:
    """None: nothing is known of them, so nothing was done."""
    from shared.key_store import LOOK_SECONDS, KeyStore
    from shared.mongo import Mongo, driver_errors
    from shared.sealing import Seals

    around = surroundings(data_dir, None, mongo, None)
    client, prefix = Mongo(needed(around.mongo, "MongoDB")), around.database_prefix
    try:
        with driver_errors():
            await client.ping()
            found = await _known(client, prefix, name, of_feedback=of_feedback)
            if not (found.known or unknown):
                return None
            keys = KeyStore(client, prefix, Seals())
            # the key at last: whoever is stopped before it sees that nothing was erased, and does it again
            await _rejects(client, prefix).delete_many(_naming(name))
            await keys.destroy(name.encode(), datetime.now(UTC))
        note("the services read the keys anew")
        await asyncio.sleep(2 * LOOK_SECONDS)  # what they may take to look, and as long again
        return found
    finally:
        client.close()


async def _known(client: Mongo, prefix: str, name: str, *, of_feedback: bool) -> Erased:
    """Where a customer, or the sender of a feedback, stands in what is stored; errors are the driver's."""
    from uuid import UUID

    from shared.generations import Generations

    generations = Generations(client, prefix)
    facts = generations.database((await generations.state()).live)
    routing = client.database(f"{prefix}_routing")
    jobs = client.database(f"{prefix}_intake").imports
    rejects = await _rejects(client, prefix).count_documents(_naming(name))
    imports = await jobs.count_documents({"open": True})
    if not of_feedback:
        return Erased(
            feedback=await facts.feedback_facts.count_documents({"said.customer_id": name}),
            activities=await facts.activity_facts.count_documents({"customer_id": name}),
            cases=await routing.cases.count_documents({"customer.id": name}),
            rejects=rejects,
            imports=imports,
        )
    try:
        identity = UUID(name)
    except ValueError:
        raise Failure("--feedback needs the id of a feedback", "", USAGE) from None
    return Erased(
        feedback=await facts.feedback_facts.count_documents({"_id": identity}),
        activities=await facts.activity_facts.count_documents({"_id": identity}),
        cases=await routing.feedback.count_documents({"_id": identity, "case_id": {"$ne": None}}),
        rejects=0,
        imports=imports,
    )


def _rejects(client: Mongo, prefix: str) -> Collection:
    return client.database(f"{prefix}_intake").import_rejects


def _naming(name: str) -> Document:
    """Rows with a cell in which the id stands, and not as a part of a longer one: C-1 is not in C-10."""
    return {"cells": {"$regex": rf"(?<![\w-]){re.escape(name)}(?![\w-])"}}


def _tell(erased: Erased) -> None:
    line("erased: nobody can read any more what this customer said, or what was written of it", "green")
    line(
        f"still counted: {erased.feedback} feedback, {erased.activities} activities, {erased.cases} cases"
        + (f"; {erased.rejects} refused rows of imports were deleted" if erased.rejects else "")
    )
    if erased.imports:
        line(f"{erased.imports} imports are not done: their files are readable until then", "yellow")
        line("  -> `cqm erase` again once they are")
