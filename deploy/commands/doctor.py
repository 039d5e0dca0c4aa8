"""`cqm doctor`: what is well, what is not, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.checkup import Finding, Surroundings, kafka_security
from deploy.commands.terminal import (
    FINDING,
    OK,
    USAGE,
    AsJson,
    DataDir,
    Failure,
    KafkaAddress,
    MongoUri,
    end,
    line,
    out,
    plain,
    run,
    table,
    write_json,
)
from deploy.local.folder import DataFolder, default_data_dir
from deploy.local.instance import read_instance

Check = Callable[[Surroundings], Awaitable[list[Finding]]]
_STYLES = {"ok": "green", "note": "yellow", "problem": "red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    @app.command()
    def doctor(
        kafka: KafkaAddress = None,
        mongo: MongoUri = None,
        policy: Annotated[Path | None, typer.Option(envvar="CQM_POLICY", help="Folder of a policy.")] = None,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Examine this machine, Kafka, MongoDB, the services and the policy."""
        findings = run(examine(surroundings(data_dir, kafka, mongo, policy)))
        problems = sum(finding.state == "problem" for finding in findings)
        if as_json:
            write_json({"well": not problems, "findings": findings})
        else:
            _show(findings, problems)
        end(FINDING if problems else OK)


def surroundings(
    data_dir: Path | None, kafka: str | None, mongo: str | None, policy: Path | None
) -> Surroundings:
    """What is given, else what runs in the data folder, else nothing."""
    from shared.settings import DEMO_POLICY, Settings

    if policy is not None and not policy.exists():
        raise Failure(f"there is no policy {policy}", "", USAGE)
    folder = DataFolder(data_dir or default_data_dir()).root
    instance = read_instance(folder)
    return Surroundings(
        data_dir=folder,
        policy=policy or DEMO_POLICY,
        kafka=kafka or (instance.kafka if instance else "") or None,
        mongo=mongo or (instance.mongo if instance else "") or None,
        security=kafka_security(kafka) if kafka else {},
        urls=instance.urls if instance else {},
        database_prefix=os.environ.get(
            "CQM_DATABASE_PREFIX", Settings.model_fields["database_prefix"].default
        ),
    )


async def examine(around: Surroundings) -> list[Finding]:
    """Every check, one after the other."""
    from deploy.commands import doctor_machine as machine
    from deploy.commands import doctor_servers as servers

    checks: tuple[Check, ...] = (
        machine.python, machine.runtime, servers.kafka, servers.mongodb, servers.services,
        machine.policy, machine.ports, machine.disk,
    )  # fmt: skip
    return [finding for check in checks for finding in await check(around)]


def _show(findings: list[Finding], problems: int) -> None:
    shown = table("check", "state", "finding")
    for finding in findings:
        words = plain(finding.text) + (f"\n-> {plain(finding.remedy)}" if finding.remedy else "")
        shown.add_row(finding.check, finding.state, words, style=_STYLES[finding.state])
    out.print(shown)
    line(f"{problems} problems" if problems else "all well", "bold")
