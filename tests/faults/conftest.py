"""Servers of the fault tests' own, because they are killed here, and a fresh cluster for each test."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.folder import DataFolder
from deploy.local.launch import Launch
from deploy.local.part import running
from deploy.local.plan import PRELOADED
from deploy.local.preloader import Preloader
from deploy.local.servers import Servers, start_servers
from shared.admin import ensure_topics
from shared.policy import Policy, load_policy
from shared.topics import ASSIGNMENTS, CASES, FEEDBACK, Topic
from tests.support.fault_table import Row, keep
from tests.support.faults import SESSION_TIMEOUT, Cluster, Replica, policy_of_seconds
from tests.support.load import Load, under_load
from tests.support.oracle import Broken, Seen, violations
from tests.support.ring import Ring, running_ring
from tests.support.saying import say
from tests.support.witness import Witness, witnessing

PATIENCE_SECONDS = 240.0
"""Until a recovery counts as none. How long it took is reported, not judged: cores may be shared."""
SEED = int(os.environ.get("CQM_FAULT_SEED", "7"))
"""What is sent again, whom it is sent to, who acts, and who is killed: the same for the same seed."""

GROUPS: tuple[tuple[str, Topic], ...] = (
    ("routing", FEEDBACK), ("routing", ASSIGNMENTS), ("sla", CASES),
    ("analytics", FEEDBACK), ("analytics", CASES),
)  # fmt: skip


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

    async def recovered(self, what: str, within: float = PATIENCE_SECONDS) -> float:
        """Wait until every group has done what is there at this moment; the seconds it took are reported, not
        judged, for cores are shared."""
        took = await asyncio.gather(*(self.witness.recovery(*group, within=within) for group in GROUPS))
        self.recoveries.append(max(took))
        self.report(f"{what}: everything done after {max(took):.1f} s")
        return max(took)

    async def broken(self, load: Load) -> list[Broken]:
        """What the oracle says of what is there now."""
        return violations(await self.witness.seen(load, self.policy))

    async def frozen(self, replica: Replica, within: float = 60.0) -> None:
        """Wait until a replica stands still (SIGSTOP) long enough for its session to have ended."""
        async with asyncio.timeout(within):
            while not replica.stands_still:  # noqa: ASYNC110 - a process that stops says nothing
                await asyncio.sleep(0.1)
        await asyncio.sleep(SESSION_TIMEOUT + 1.0)

    async def verdict(self, load: Load, *, within: float = PATIENCE_SECONDS) -> Seen:
        """Waits for rest, drains everything, and fails with all that is not as promised. What was seen."""
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
        return seen


def name_of(node: pytest.Item) -> str:
    """What `make faults FAULT=...` calls the run: by its mark, else the test's name without `test_`."""
    mark = node.get_closest_marker("fault")
    return str(mark.args[0]) if mark else node.name.removeprefix("test_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("fault"):
            item.extra_keyword_matches.add(name_of(item))


@pytest.fixture(scope="module")
async def fault_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Kafka and MongoDB as `cqm up` starts them, new for each file: whoever comes new reads a log from its
    beginning, and imports leave hundreds of thousands of records there."""
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


@dataclass(frozen=True)
class Stage:
    """Where runs are played: gives a run on given servers, and kills what still runs at its end."""

    node: pytest.Item
    launch: Launch
    folder: Path
    report: Callable[[str], None]

    @asynccontextmanager
    async def run_on(self, kafka: str, mongo: str) -> AsyncIterator[Run]:
        """Nothing is started yet."""
        prefix, policy = f"t{uuid4().hex[:10]}", policy_of_seconds(self.folder / "policy")
        cluster = Cluster(kafka, mongo, prefix, policy, self.folder, self.launch)
        async with witnessing(kafka, mongo, prefix) as witness:
            try:
                yield Run(self.node, cluster, witness, load_policy(policy), self.report)
            finally:
                await cluster.close()


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, preloader: Preloader, tmp_path: Path, report: Callable[[str], None]
) -> Stage:
    return Stage(request.node, preloader.launch, tmp_path, report)


@pytest.fixture
async def run(stage: Stage, fault_servers: Servers) -> AsyncIterator[Run]:
    """On one broker and one mongod."""
    async with stage.run_on(fault_servers.kafka, fault_servers.mongo) as run:
        yield run


@pytest.fixture(scope="session")
async def ring(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ring]:
    """Three brokers and a replica set of three."""
    async with running_ring(tmp_path_factory.mktemp("ring")) as ring:
        yield ring


@pytest.fixture
async def ring_run(stage: Stage, ring: Ring) -> AsyncIterator[Run]:
    """On three of each; whatever a run took away is back before the next one."""
    await ring.mended()
    async with stage.run_on(ring.kafka, ring.mongo) as run:
        yield run
