"""Checks of Kafka, MongoDB and the services that run."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pymongo.errors import PyMongoError

from deploy.commands.addresses import Addresses
from deploy.commands.api import http_client
from deploy.commands.checkup import Finding, Surroundings, skipped
from deploy.commands.cluster import Cluster, compare, look
from deploy.commands.status import statuses
from shared.errors import CQMError
from shared.generations import Generations
from shared.mongo import Database, Mongo

LIFETIME_SECONDS = 10
"""Longer transactions of a killed process keep its partitions from everybody else for as long."""

SKEW_NOTE, SKEW_PROBLEM = 1.0, 5.0
INDEXED = {
    "routing": ("cases", "case_history"),
    "sla": ("clocks", "escalations"),
    "analytics": ("feedback_facts", "case_facts", "target_facts", "joint_facts", "activity_facts"),
}
"""Collections that are searched by more than their id (services/*/store)."""


async def kafka(around: Surroundings) -> list[Finding]:
    """Whether it answers, its topics, and what it would survive."""
    if around.kafka is None:
        return [skipped(check) for check in ("kafka", "topics", "replication")]
    try:
        cluster = await look(around.kafka, around.security)
    except CQMError as error:
        remedy = "check the address, that it runs, and CQM_KAFKA_* where it asks who is there"
        rest = [skipped(check, "Kafka does not answer") for check in ("topics", "replication")]
        return [Finding("kafka", "problem", str(error), remedy), *rest]
    text = f"{around.kafka}: {cluster.brokers} brokers, controller {cluster.controller}"
    return [Finding("kafka", "ok", text), _topics(cluster), _replication(cluster)]


def _topics(cluster: Cluster) -> Finding:
    wrong = [row for row in compare(cluster) if row.state != "ok"]
    if not wrong:
        return Finding("topics", "ok", f"all {len(cluster.topics)} are as shared/topics.py wants them")
    text = "; ".join(f"{row.name}: {', '.join(row.differences)}" for row in wrong)
    return Finding("topics", "problem", text, "`cqm topics --create`; settings with your Kafka's own tools")


def _replication(cluster: Cluster) -> Finding:
    copies = min((topic.replicas for topic in cluster.topics.values()), default=0)
    if cluster.brokers < 3:
        text = f"{cluster.brokers} broker(s), {copies} copy of each record: a lost disk loses events"
        return Finding("replication", "note", text, "for production three brokers: 3 copies, 2 in sync")
    if copies < 3:
        text = f"some topics have {copies} copies of each record, though there are {cluster.brokers} brokers"
        return Finding("replication", "problem", text, "reassign their partitions to 3 replicas, min ISR 2")
    return Finding("replication", "ok", f"{copies} copies of each record")


async def mongodb(around: Surroundings) -> list[Finding]:
    """Whether it answers as a replica set, its settings, its clock, and the indexes of the services."""
    rest = ("transactions", "clock", "indexes")
    if around.mongo is None:
        return [skipped(check) for check in ("mongodb", *rest)]
    client = Mongo(around.mongo)
    try:
        await client.ping()
        admin = client.database("admin")
        version = (await admin.command("buildInfo"))["version"]
        primary = Finding("mongodb", "ok", f"MongoDB {version}, replica set with a primary")
        return [primary, await _transactions(admin), await _clock(client), await _indexes(client, around)]
    except (CQMError, PyMongoError) as error:
        remedy = "check the URI, that it runs as a replica set, and that this user may ask"
        text = str(error) if isinstance(error, CQMError) else f"MongoDB refused: {type(error).__name__}"
        unseen = [skipped(check, "MongoDB does not answer") for check in rest]
        return [Finding("mongodb", "problem", text, remedy), *unseen]
    finally:
        client.close()


async def _transactions(admin: Database) -> Finding:
    found = await admin.command({"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
    seconds = found["transactionLifetimeLimitSeconds"]
    text = f"transactionLifetimeLimitSeconds is {seconds}"
    if seconds <= LIFETIME_SECONDS:
        return Finding("transactions", "ok", text)
    text += ": work of a process killed in a transaction may wait that long"
    return Finding("transactions", "note", text, "mongod --setParameter transactionLifetimeLimitSeconds=3")


async def _clock(client: Mongo) -> Finding:
    began = time.monotonic()
    theirs = await client.now()
    middle = (time.monotonic() - began) / 2
    apart = abs((datetime.now(UTC) - theirs).total_seconds() - middle)
    text = f"{apart:.2f} s between this clock and MongoDB's"
    if apart < SKEW_NOTE:
        return Finding("clock", "ok", text)
    remedy = "run an NTP client on both machines: what is due is decided by these clocks"
    return Finding("clock", "problem" if apart > SKEW_PROBLEM else "note", text, remedy)


async def _indexes(client: Mongo, around: Surroundings) -> Finding:
    bare, generations = [], Generations(client, around.database_prefix)
    for service, collections in INDEXED.items():
        database = client.database(f"{around.database_prefix}_{service}")
        if service == "analytics":
            database = generations.database((await generations.state()).live)
        there = set(await database.list_collection_names())
        for name in collections:
            if name not in there or len(await database[name].index_information()) < 2:
                bare.append(f"{database.name}.{name}")
    if not bare:
        return Finding("indexes", "ok", f"there, in {len(INDEXED)} databases {around.database_prefix}_*")
    state = "problem" if around.running else "note"
    remedy = "start the services: each makes its own at its start"
    return Finding("indexes", state, f"not there yet: {', '.join(bare)}", remedy)  # type: ignore[arg-type]


async def services(around: Surroundings) -> list[Finding]:
    if not around.running:
        return [skipped("services", f"nothing runs in {around.data_dir}")]
    urls = {service: tuple(replicas) for service, replicas in around.urls.items()}
    async with http_client(urls["intake"][0]) as client:
        found = await statuses(Addresses("", urls, around.data_dir), client)
    reasons = [
        f"{service} at {replica.url}: {', '.join(replica.missing)}"
        for service, status in found.items()
        for replica in status.replicas
        if not replica.ready
    ]
    if reasons:
        return [Finding("services", "problem", "; ".join(reasons), "`cqm logs SERVICE` says why")]
    count = sum(len(status.replicas) for status in found.values())
    return [Finding("services", "ok", f"all {count} processes are ready")]
