"""Servers of the fault tests' own, because they are killed here, and a fresh cluster for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.folder import DataFolder
from deploy.local.part import running
from deploy.local.plan import PRELOADED
from deploy.local.preloader import Preloader
from deploy.local.servers import Servers, start_servers
from shared.admin import ensure_topics
from shared.policy import Policy, load_policy
from tests.support.faults import Cluster, policy_of_seconds
from tests.support.load import Load
from tests.support.oracle import violations
from tests.support.saying import say
from tests.support.witness import Witness, witnessing


@dataclass(frozen=True)
class Run:
    """One fault run: what is killed, and who looks at it."""

    cluster: Cluster
    witness: Witness
    policy: Policy
    report: Callable[[str], None]

    async def verdict(self, load: Load, *, within: float = 90.0) -> None:
        """Waits for rest, drains everything, and fails with all that is not as promised."""
        await self.cluster.all_ready()
        await self.witness.rest(within)
        drained = await self.cluster.drain()
        seen = await self.witness.seen(load, self.policy)
        late = max(((step.at - step.due).total_seconds() for step in seen.steps), default=0.0)
        self.report(
            f"{len(seen.acknowledged)} feedback, {len(seen.cases)} cases, {len(seen.changes)} case events, "
            f"{len(seen.answered)} actions, {len(seen.steps)} escalations (latest {late:.1f} s), "
            f"drained in {max(drained):.1f} s"
        )
        assert violations(seen) == []
        assert seen.cases and seen.steps and seen.answered, "a run without work proves nothing"


@pytest.fixture(scope="session")
async def fault_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Kafka and MongoDB as `cqm up` starts them."""
    servers = await start_servers(tmp_path_factory.mktemp("servers"))
    await ensure_topics(servers.kafka)
    yield servers
    await servers.stop()


@pytest.fixture(scope="session")
async def preloader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Preloader]:
    """What services are forked from, as by `cqm up`: importing them costs seconds, and dozens are started."""
    made = Preloader(PRELOADED, os.environ, DataFolder(tmp_path_factory.mktemp("preloader")).create())
    async with running(made):
        yield made


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A line of figures in the terminal."""
    return lambda text: say(request.config, f"  {request.node.name}: {text}")


@pytest.fixture
async def run(
    fault_servers: Servers, preloader: Preloader, tmp_path: Path, report: Callable[[str], None]
) -> AsyncIterator[Run]:
    """Nothing is started yet; whatever still runs at the end is killed."""
    prefix, policy = f"t{uuid4().hex[:10]}", policy_of_seconds(tmp_path / "policy")
    cluster = Cluster(fault_servers.kafka, fault_servers.mongo, prefix, policy, tmp_path, preloader.launch)
    async with witnessing(fault_servers.kafka, fault_servers.mongo, prefix) as witness:
        try:
            yield Run(cluster, witness, load_policy(policy), report)
        finally:
            await cluster.close()
