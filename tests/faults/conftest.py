"""Servers of the fault tests' own, because they are killed here, and a fresh cluster for each test."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
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
from tests.support.fault_table import Row, keep
from tests.support.faults import Cluster, policy_of_seconds
from tests.support.load import Load, under_load
from tests.support.oracle import violations
from tests.support.saying import say
from tests.support.witness import Witness, witnessing

SEED = int(os.environ.get("CQM_FAULT_SEED", "7"))
"""What is sent again, whom it is sent to, who acts, and who is killed: the same for the same seed."""


@dataclass
class Run:
    """One fault run: what is killed, and who looks at it. `recoveries` in seconds."""

    node: pytest.Item
    cluster: Cluster
    witness: Witness
    policy: Policy
    report: Callable[[str], None]
    recoveries: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def load(self, rate: int = 80) -> AbstractAsyncContextManager[Load]:
        """Load for the length of a block; the seconds of the run begin with it."""
        self.began = time.monotonic()
        return under_load(self.cluster, rate, SEED)

    async def verdict(self, load: Load, *, within: float = 90.0) -> None:
        """Waits for rest, drains everything, and fails with all that is not as promised."""
        seconds = time.monotonic() - self.began
        await self.cluster.all_ready()
        await self.witness.rest(within)
        drained = await self.cluster.drain()
        seen = await self.witness.seen(load, self.policy)
        late = max(((step.at - step.due).total_seconds() for step in seen.steps), default=0.0)
        self.report(
            f"{len(seen.acknowledged)} feedback, {len(seen.cases)} cases, {len(seen.changes)} case events, "
            f"{len(seen.answered)} actions, {len(seen.steps)} escalations (latest {late:.1f} s), "
            f"{len(seen.poison)} poison, drained in {max(drained):.1f} s"
        )
        broken = violations(seen)
        row = Row(name_of(self.node), seconds, len(seen.acknowledged), len(seen.facts))
        row.recovery = max(self.recoveries, default=None)
        row.count(broken)
        keep(self.node, row)
        assert [one.words for one in broken] == []
        assert seen.cases and seen.steps and seen.answered, "a run without work proves nothing"


def name_of(node: pytest.Item) -> str:
    """What `make faults FAULT=...` calls the run: the test's name without `test_`, with its parameters."""
    return node.name.removeprefix("test_")


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
    request: pytest.FixtureRequest,
    fault_servers: Servers,
    preloader: Preloader,
    tmp_path: Path,
    report: Callable[[str], None],
) -> AsyncIterator[Run]:
    """Nothing is started yet; whatever still runs at the end is killed."""
    prefix, policy = f"t{uuid4().hex[:10]}", policy_of_seconds(tmp_path / "policy")
    cluster = Cluster(fault_servers.kafka, fault_servers.mongo, prefix, policy, tmp_path, preloader.launch)
    async with witnessing(fault_servers.kafka, fault_servers.mongo, prefix) as witness:
        try:
            yield Run(request.node, cluster, witness, load_policy(policy), report)
        finally:
            await cluster.close()
