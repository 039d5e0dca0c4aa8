"""Services as real processes that can be killed, frozen, drained and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from deploy.local.launch import Launch, execute
from deploy.local.ports import HOST, PortBook
from deploy.local.process import Child

ROOT = Path(__file__).parents[2]
SESSION_TIMEOUT = 6.0
"""Seconds: the least that a broker allows."""
DRAIN_SECONDS = 20.0
"""Promised are 10, which runs report; shared cores get twice that before a test fails."""
SECONDS_POLICY = """
sla:
  - name: seconds
    when: "priority in ['P1', 'P2']"
    calendar: always
    targets: {first_response: {P1: 2s, P2: 3s}, resolution: {P1: 4s, P2: 6s}}
    escalate:
      first_response:
        - {at: 50%, do: remind_owner}
        - {at: 100%, do: notify_supervisor}
        - {after: 1s, do: reassign}
      resolution:
        - {at: 100%, do: [notify_head, raise_priority]}
        - {after: 1s, do: notify_head, repeat: 1s, times: 2}
  - name: standard
    when: "true"
    calendar: always
    targets: {first_response: {P1: 1h, P2: 2h, P3: 8h, P4: 24h}, resolution: {P1: 1d, P2: 2d, P3: 5d, P4: 9d}}
    escalate:
      resolution: [{at: 100%, do: notify_supervisor}]
"""


def policy_of_seconds(folder: Path) -> Path:
    """The demo organisation with escalations that all come within seconds, so that a run can end."""
    shutil.copytree(ROOT / "deploy" / "policy" / "demo", folder)
    (folder / "sla.yaml").write_text(SECONDS_POLICY)
    return folder


@dataclass
class Replica:
    """One process of a service. `source`: the root of another version of it (variants.py); None: this one."""

    service: str
    program: Child
    port: int
    env: dict[str, str]
    source: Path | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self, crash_at: str = "") -> None:
        """`crash_at`: GROUP/POINT[:N] at which it kills itself (shared/crash.py)."""
        command, env = [sys.executable], self.env | {"CQM_CRASH_AT": crash_at}
        if self.source is not None:
            command.append("-P")
            env |= {"PYTHONPATH": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}
        self.program.start([*command, "-m", f"services.{self.service}"], env)

    async def problems(self) -> list[str]:
        """What its /readyz misses; empty when it is ready."""
        if not self.program.running:
            return [f"{self.name} ended with {self.program.exit_code}: {self.program.log_tail()}"]
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=5.0) as client:
            try:
                answer = await client.get("/readyz")
            except httpx.TransportError as error:
                return [f"{self.name} does not answer: {type(error).__name__}"]
        missing: list[str] = [] if answer.status_code == 200 else answer.json()["missing"]
        return missing

    async def ready(self, within: float = 90.0) -> None:
        """Wait until it serves. Fails when it dies before, and with what is missing when it takes longer."""
        clock = asyncio.get_running_loop()
        end = clock.time() + within
        while missing := await self.problems():
            assert self.program.running, missing
            assert clock.time() < end, f"{self.name} not ready within {within:g} s: {missing}"
            await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """As kill -9 does."""
        await self.program.kill()

    async def drain(self, within: float = DRAIN_SECONDS) -> float:
        """SIGTERM; returns the seconds it took. Fails when it took longer."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        self.program.signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(self.program.wait(), within)
        except TimeoutError:
            raise AssertionError(
                f"{self.name} not drained in {within:g} s: {self.program.log_tail(20)}"
            ) from None
        assert code in (0, -signal.SIGTERM), f"{self.name} ended with {code}: {self.program.log_tail(20)}"
        return clock.time() - began

    def freeze(self) -> None:
        self.program.signal(signal.SIGSTOP)

    @property
    def stands_still(self) -> bool:
        """Whether SIGSTOP has reached it."""
        return self.program.running and psutil.Process(self.program.pid).status() == psutil.STATUS_STOPPED

    def thaw(self) -> None:
        self.program.signal(signal.SIGCONT)


@dataclass
class Cluster:
    """Replicas of services of one run: its own databases and consumer groups."""

    kafka: str
    mongo: str
    prefix: str
    policy: Path
    folder: Path
    launch: Launch
    replicas: list[Replica] = field(default_factory=list)

    def add(self, service: str, source: Path | None = None) -> Replica:
        """Another replica, not yet started."""
        name = f"{service}-{sum(one.service == service for one in self.replicas)}"
        port = PortBook(self.folder / "ports.json").claim(name)
        env = {name: value for name, value in os.environ.items() if not name.startswith("CQM_")} | {
            "CQM_KAFKA": self.kafka,
            "CQM_MONGO": self.mongo,
            "CQM_DATABASE_PREFIX": self.prefix,
            "CQM_POLICY": str(self.policy),
            "CQM_PORT": str(port),
            "CQM_SESSION_TIMEOUT": str(SESSION_TIMEOUT),
            "CQM_LOG": "text",
        }
        replica = Replica(service, self._program(name, source), port, env, source)
        self.replicas.append(replica)
        return replica

    def run_from(self, replica: Replica, source: Path | None) -> None:
        """Of which version it is from its next start on."""
        assert not replica.program.running, f"{replica.name} runs"
        replica.program, replica.source = self._program(replica.name, source), source

    def _program(self, name: str, source: Path | None) -> Child:
        """Another version cannot be forked from what has imported this one."""
        launch = self.launch if source is None else execute
        return Child(name, log=self.folder / f"{name}.log", run_folder=self.folder / "run", launch=launch)

    def of(self, service: str) -> list[Replica]:
        return [replica for replica in self.replicas if replica.service == service]

    async def start(self, **counts: int) -> None:
        """That many replicas of each service, all ready."""
        for service, count in counts.items():
            for _ in range(count):
                self.add(service).start()
        await asyncio.gather(*(replica.ready() for replica in self.replicas))

    async def all_ready(self, within: float = 90.0) -> None:
        await asyncio.gather(*(replica.ready(within) for replica in self.replicas))

    async def drain(self) -> list[float]:
        """SIGTERM to all of them; the seconds that each took."""
        return await asyncio.gather(
            *(replica.drain() for replica in self.replicas if replica.program.running)
        )

    async def close(self) -> None:
        """Ends what still runs; a test that succeeded has drained it before."""
        for replica in self.replicas:
            if replica.program.running:
                await replica.kill()

    def group(self, service: str, topic: str) -> str:
        """The consumer group of a service for a topic's short name, as CQM_CRASH_AT wants it."""
        return f"{self.prefix}.{service}.{topic}"
