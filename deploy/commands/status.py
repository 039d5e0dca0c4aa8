"""`cqm status`: what each replica of each service says about itself, by /readyz and /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
import msgspec
import typer
from prometheus_client.parser import text_string_to_metric_families

from deploy.commands.addresses import Addresses, find
from deploy.commands.api import http_client
from deploy.commands.kpi import span_text
from deploy.commands.terminal import (
    FINDING,
    OK,
    USAGE,
    AsJson,
    DataDir,
    Failure,
    end,
    line,
    out,
    plain,
    run,
    table,
    write_json,
)

ANSWER_SECONDS = 5.0
_NO_ANSWER = (ValueError, LookupError, TypeError)
"""Of what is said to be an answer and is not: a page of a proxy, JSON of another program."""


class Replica(msgspec.Struct):
    """One process; `missing` says why it is not ready, `lag` counts records."""

    url: str
    ready: bool = False
    missing: list[str] = []
    lag: int = 0
    oldest_age_seconds: float = 0.0
    dead_letters: int = 0
    stopped_partitions: int = 0


class ServiceStatus(msgspec.Struct):
    """A service over all its replicas: sums, and the oldest age."""

    ready: bool
    lag: int
    oldest_age_seconds: float
    dead_letters: int
    stopped_partitions: int
    replicas: list[Replica]

    @classmethod
    def of(cls, replicas: list[Replica]) -> ServiceStatus:
        return cls(
            ready=all(replica.ready for replica in replicas),
            lag=sum(replica.lag for replica in replicas),
            oldest_age_seconds=max(replica.oldest_age_seconds for replica in replicas),
            dead_letters=sum(replica.dead_letters for replica in replicas),
            stopped_partitions=sum(replica.stopped_partitions for replica in replicas),
            replicas=replicas,
        )


def register(app: typer.Typer) -> None:
    @app.command()
    def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
        """Readiness, lag, oldest age, dead letters and stopped partitions of each service."""
        addresses = find(data_dir)
        found, backlog, coming = run(_everything(addresses))
        well = all(service.ready and not service.stopped_partitions for service in found.values())
        if as_json:
            write_json({"well": well, "open_cases": backlog, "next_dues": coming, "services": found})
        else:
            _show(found, backlog)
            show_coming(coming)
        end(OK if well else FINDING)


async def _everything(
    addresses: Addresses,
) -> tuple[dict[str, ServiceStatus], int | None, list[dict[str, Any]] | None]:
    async with http_client(addresses.url("intake")) as client:
        return (
            await statuses(addresses, client),
            await _open_cases(addresses, client),
            await coming_dues(addresses, client),
        )


async def statuses(addresses: Addresses, client: httpx.AsyncClient) -> dict[str, ServiceStatus]:
    """What all replicas say. Raises Failure where one address stands for all services."""
    if addresses.one_ingress:
        raise Failure(
            "status asks each service about itself, and CQM_URL is one address for all",
            "set CQM_URL_INTAKE, CQM_URL_ROUTING, CQM_URL_SLA and CQM_URL_ANALYTICS",
            USAGE,
        )
    found = {}
    for service, urls in addresses.urls.items():
        found[service] = ServiceStatus.of(list(await asyncio.gather(*(_look(client, url) for url in urls))))
    return found


async def _look(client: httpx.AsyncClient, url: str) -> Replica:
    """One replica as it is; one that does not answer is not ready, and says so."""
    replica = Replica(url)
    try:
        ready = await client.get(f"{url}/readyz", timeout=ANSWER_SECONDS)
        page = await client.get(f"{url}/metrics", timeout=ANSWER_SECONDS)
    except httpx.HTTPError as error:
        replica.missing = [f"does not answer ({type(error).__name__})"]
        return replica
    replica.missing = _missing(ready)
    try:
        if page.is_success:
            _read_metrics(replica, page.text)
    except ValueError:  # a proxy's page, for instance, which answers /readyz with 200 as well
        replica.missing = ["what answers there is no service of CQM"]
    replica.ready = not replica.missing
    return replica


def _missing(answer: httpx.Response) -> list[str]:
    if answer.is_success:
        return []
    try:
        document = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        document = {}
    return [plain(reason) for reason in document.get("missing") or [f"/readyz answers {answer.status_code}"]]


def _read_metrics(replica: Replica, page: str) -> None:
    values: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            values.setdefault(sample.name, []).append(sample.value)
    replica.lag = _sum(values.get("cqm_stream_lag_records", ()))
    replica.oldest_age_seconds = round(max(values.get("cqm_stream_oldest_age_seconds", (0.0,))), 3)
    replica.dead_letters = _sum(values.get("cqm_stream_dead_letters_total", ()))
    replica.stopped_partitions = _sum(values.get("cqm_stream_stopped_partitions", ()))


def _sum(values: Iterable[float]) -> int:
    return int(sum(values))


async def _open_cases(addresses: Addresses, client: httpx.AsyncClient) -> int | None:
    """The backlog by analytics; None when it cannot say now."""
    try:
        answer = await client.get(f"{addresses.url('analytics')}/v1/kpis/backlog", timeout=ANSWER_SECONDS)
        return int(answer.json()["total"]["n"]) if answer.is_success else None
    except (httpx.HTTPError, *_NO_ANSWER):
        return None


async def coming_dues(addresses: Addresses, client: httpx.AsyncClient) -> list[dict[str, Any]] | None:
    """The next ten dues to come, the nearest first; None when sla cannot say now."""
    wanted = {"past": "false", "within": "366d", "limit": "10"}
    try:
        answer = await client.get(f"{addresses.url('sla')}/v1/overdue", params=wanted, timeout=ANSWER_SECONDS)
        items: list[dict[str, Any]] = answer.json()["items"] if answer.is_success else []
    except (httpx.HTTPError, *_NO_ANSWER):
        return None
    return items if answer.is_success else None


def show_coming(coming: list[dict[str, Any]] | None) -> None:
    """What `coming_dues` found."""
    if not coming:
        line("next dues: unknown" if coming is None else "next dues: none")
        return
    line("next dues:", "bold")
    shown = table("in", "target", "case", "priority", "department", "owner", right=("in",))
    for late in coming:
        shown.add_row(
            span_text(-late["overdue_seconds"]),
            *(
                plain(late[name] or "-")
                for name in ("target", "reference", "priority", "department", "owner")
            ),
        )
    out.print(shown)


def _show(found: dict[str, ServiceStatus], backlog: int | None) -> None:
    shown = table(
        "service", "state", "lag", "oldest", "dead letters", "stopped", "address",
        right=("lag", "oldest", "dead letters", "stopped"),
    )  # fmt: skip
    for service, status in found.items():
        for replica in status.replicas:
            shown.add_row(
                service,
                "ready" if replica.ready else "not ready",
                f"{replica.lag:,}",
                span_text(replica.oldest_age_seconds),
                f"{replica.dead_letters:,}",
                str(replica.stopped_partitions),
                replica.url,
                style=None if replica.ready and not replica.stopped_partitions else "red",
            )
    out.print(shown)
    for service, status in found.items():
        for replica in status.replicas:
            for reason in replica.missing:
                line(f"{service} {replica.url}: {reason}", "red")
    line(f"open cases: {'unknown' if backlog is None else f'{backlog:,}'}")
