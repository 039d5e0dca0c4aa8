"""`cqm up`: what is not given is started, and what runs is said, with what to try next."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.addresses import folder_option, of_instance
from deploy.commands.telling import Telling
from deploy.commands.terminal import USAGE, DataDir, Failure, line, note, program, run, tell_error
from deploy.local.folder import default_data_dir
from deploy.local.instance import Instance

if TYPE_CHECKING:
    from deploy.local.plan import Plan

MOST_REPLICAS = 32
HIGHEST_BASE = 65_500
COMPLAINT = '{"kind": "complaint", "language": "zh", "text": "快递箱子压坏了，里面的杯子碎了"}'


def register(app: typer.Typer) -> None:
    @app.command()
    def up(
        background: Annotated[
            bool, typer.Option("-d", "--detach", help="Return when everything is ready.")
        ] = False,
        demo: Annotated[bool, typer.Option("--demo", help="Then show the demo (`cqm demo`).")] = False,
        data_dir: DataDir = None,
        kafka: Annotated[
            str | None, typer.Option(envvar="CQM_KAFKA", help="HOST:PORT of a Kafka that runs already.")
        ] = None,
        mongo: Annotated[
            str | None,
            typer.Option(envvar="CQM_MONGO", help="URI of a MongoDB replica set that runs already."),
        ] = None,
        policy: Annotated[
            Path | None, typer.Option(envvar="CQM_POLICY", help="Folder of the policy (default: the demo's).")
        ] = None,
        port_base: Annotated[
            int | None, typer.Option(min=1024, max=HIGHEST_BASE, help="First of the four ports [8001].")
        ] = None,
        replicas: Annotated[
            list[str] | None, typer.Option(metavar="SERVICE=N", help="Repeatable: --replicas routing=2")
        ] = None,
    ) -> None:
        """Start Kafka, MongoDB (where none are given) and the four services; Ctrl-C drains."""
        from deploy.local.plan import Plan

        check_authentication(os.environ)
        prepare = "on_given_kafka" if kafka else "on_own_kafka"
        plan = Plan(
            data_dir=str((data_dir or default_data_dir()).expanduser().absolute()),
            kafka=kafka,
            mongo=mongo,
            policy=checked_policy(policy),
            port_base=port_base,
            replicas=replica_counts(replicas or []),
            prepare=f"deploy.commands.preparing:{prepare}",
        )
        run(_detached(plan, demo) if background else _attached(plan, demo))


def check_authentication(env: Mapping[str, str]) -> None:
    """Raises Failure where somebody counts on callers being asked who they are."""
    wanted = env.get("CQM_AUTH", "off")
    if wanted != "off":
        raise Failure(
            f"CQM_AUTH={wanted} is set, but `cqm up` starts its services on 127.0.0.1 without authentication",
            "unset CQM_AUTH here; a deployment of yours sets it for each service (docs/security.md)",
            USAGE,
        )


def replica_counts(given: list[str]) -> dict[str, int]:
    """`["routing=2"]` as counts. Raises Failure for an unknown service and for no number in 1-32."""
    from deploy.local.plan import SERVICES

    counts = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in SERVICES or not number.isdecimal() or not 1 <= int(number) <= MOST_REPLICAS:
            known = ", ".join(SERVICES)
            raise Failure(
                f"--replicas takes SERVICE=N, with N from 1 to {MOST_REPLICAS}, for {known}", "", USAGE
            )
        counts[name] = int(number)
    return counts


def checked_policy(folder: Path | None) -> str | None:
    """Its absolute path, once it is seen to hold: services that refuse it one by one say less."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise Failure(f"--policy: {folder} is not a folder", "", USAGE)
    from shared.policy import check

    errors = [str(finding) for finding in check([folder]) if finding.severity == "error"]
    if errors:
        raise Failure("the policy is refused:\n" + "\n".join(errors), "`cqm policy check` shows all findings")
    return str(folder.absolute())


async def _attached(plan: Plan, demo: bool) -> None:
    from deploy.local.daemon import load_prepare
    from deploy.local.supervisor import Supervisor

    async def on_ready(instance: Instance) -> None:
        await _tell(instance, demo)
        line()
        line(f"CQM is running here, as process {os.getpid()}, until it is stopped.", "bold")
        stop = f"{program()} down{folder_option(instance.data_dir)}"
        line(f"Ctrl-C, or `{stop}` elsewhere, drains and stops it; the data stay.")

    with Telling() as say:
        _begin(plan)
        await Supervisor(plan, say=say, prepare=load_prepare(plan.prepare)).run(on_ready)


async def _detached(plan: Plan, demo: bool) -> None:
    from deploy.local.daemon import start_daemon

    with Telling() as say:
        _begin(plan)
        instance = await start_daemon(plan, say)
    await _tell(instance, demo)
    line()
    line(f"CQM is running in the background, as process {instance.pid}.", "bold")
    line(f"`{program()} down{folder_option(instance.data_dir)}` drains and stops it; the data stay.")


def _begin(plan: Plan) -> None:
    note(f"Starting CQM in {plan.data_dir}", "bold")


async def _tell(instance: Instance, demo: bool) -> None:
    line()
    line("CQM is ready. It listens on 127.0.0.1 only, and authentication is off.", "bold green")
    _links(instance)
    if demo:
        await _show_demo(instance)
    else:
        _next_steps(instance)


async def _show_demo(instance: Instance) -> None:
    """An instance that serves is not ended because its demo could not be shown."""
    from deploy.commands.demo_run import show

    line()
    try:
        await show(of_instance(instance))
    except Failure as failure:
        tell_error(f"the demo ended early: {failure.message}", failure.remedy)


def _links(instance: Instance) -> None:
    for path, service, what in (
        ("/v1/cases", "routing", "cases and their owners"),
        ("/v1/overdue", "sla", "what is late"),
        ("/v1/escalations", "sla", "who was told"),
        ("/v1/kpis", "analytics", "the figures"),
        ("/forms/complaint", "intake", "a form for customers"),
    ):
        line(f"  {instance.url(service) + path:<40} {what}")
    line(f"  {'each service: /readyz, /metrics, /openapi.json':<40}")


def _next_steps(instance: Instance) -> None:
    folder = folder_option(instance.data_dir)
    line()
    line("Try next", "bold")
    line(f"  {complaint_curl(instance.url('intake'))}")
    line(f"  curl '{instance.url('routing')}/v1/cases?department=logistics'")
    line(f"  {program()} demo{folder}     1,000 real requests, their owners, escalations and figures")
    line(f"  {program()} status{folder}   what is ready, and what waits")


def complaint_curl(intake: str) -> str:
    """A complaint about a broken box, to be pasted."""
    return f"curl {intake}/v1/feedback -H 'Content-Type: application/json' -d '{COMPLAINT}'"
