"""`cqm topics`: the topics that CQM needs, beside those that exist."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from deploy.commands.addresses import still_starting
from deploy.commands.checkup import kafka_security
from deploy.commands.terminal import FINDING, OK, AsJson, DataDir, end, note, out, run, table, write_json
from deploy.local.folder import default_data_dir
from deploy.local.instance import running_instance


def register(app: typer.Typer) -> None:
    @app.command()
    def topics(
        create: Annotated[
            bool, typer.Option("--create", help="Create what is missing, add partitions where too few.")
        ] = False,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """The topics on CQM_KAFKA, or on the running instance's Kafka, beside what is wanted."""
        bootstrap, security = kafka_of(data_dir)
        done, rows = run(_topics(bootstrap, security, create))
        if as_json:
            write_json({"kafka": bootstrap, "done": done, "topics": rows})
        else:
            _show(rows, done)
        if create and any(row["state"] == "differs" for row in rows):
            note("what differs is left as it is; settings are changed with your Kafka's own tools")
        # Containers start once this has ended well: a setting that somebody changed must not keep them away.
        end(FINDING if any(row["lacking"] if create else row["state"] != "ok" for row in rows) else OK)


def kafka_of(data_dir: Path | None) -> tuple[str, dict[str, Any]]:
    """Bootstrap servers and how to speak to them. Raises NotRunning, and Failure for what is no address."""
    given = os.environ.get("CQM_KAFKA")
    if given and data_dir is None:
        return given, kafka_security(given)
    instance = running_instance(data_dir or default_data_dir())
    kafka = instance.kafka
    if not kafka:
        raise still_starting(instance, "Kafka")
    return kafka, kafka_security(kafka) if kafka == given else {}


async def _topics(
    bootstrap: str, security: dict[str, Any], create: bool
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    from deploy.commands.cluster import compare, look
    from shared.admin import ensure_topics

    done = await ensure_topics(bootstrap, security) if create else {}
    rows = compare(await look(bootstrap, security))
    return done, [msgspec.to_builtins(row) for row in rows]


def _show(rows: list[dict[str, Any]], done: dict[str, str]) -> None:
    shown = table("topic", "partitions", "replicas", "state", right=("partitions", "replicas"))
    for row in rows:
        created = done.get(row["name"], "exists")
        words = [created] if created != "exists" else []
        state = "; ".join([*words, *row["differences"]]) or "ok"
        shown.add_row(row["name"], str(row["partitions"]), str(row["replicas"]), state)
    out.print(shown)
    if any(row["state"] == "missing" for row in rows):
        note("create them with `cqm topics --create`")
