"""The real Apache Kafka, one node in KRaft mode (broker and controller in one), on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from threading import Event as Flag

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.errors import PartFailed
from deploy.local.events import Event, Say, say_nothing
from deploy.local.folder import DataFolder, write_atomically
from deploy.local.java import find_java
from deploy.local.kafka_jars import kafka_jars
from deploy.local.part import poll_until
from deploy.local.ports import HOST
from deploy.local.process import Child

START_SECONDS = 60.0
JVM = (
    "-Xms256m",
    "-Xmx384m",
    # Measured for a broker of this size: the serial collector needs 150 MB less than G1, and the first
    # compiler alone halves the start (3.0 against 6.0 s) and costs nothing in throughput.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",  # the supervisor starts it again; half a broker helps nobody
    "-Djava.awt.headless=true",
)
LARGEST_BATCH = 2 * 1024 * 1024  # a record of 1 MiB with its key, headers and batch around it fits
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # One node: nobody to replicate to.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "10",
    "transaction.state.log.num.partitions": "10",
    # Topics come from shared/topics.py; a misspelt name must not become one.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # After kill -9 the controller waits for the old session to end: 5 instead of 12 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(LARGEST_BATCH),
    "replica.fetch.max.bytes": str(LARGEST_BATCH),
}
LOGGING = """\
Configuration:
  status: warn
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "%d{yyyy-MM-dd'T'HH:mm:ss.SSSX} %p %c{1} %m%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        - ref: STDOUT
    Logger:
      - name: kafka.server
        level: info
      - name: kafka.server.KafkaConfig
        level: warn
"""


class LocalKafka:
    """A Part. Data in FOLDER/kafka survive; the ports may change from one start to the next."""

    name = "kafka"
    grace_seconds = 20.0
    start_seconds = START_SECONDS

    def __init__(
        self,
        folder: DataFolder,
        port: int,
        controller_port: int,
        *,
        settings: Mapping[str, str] | None = None,
        say: Say = say_nothing,
    ) -> None:
        """`settings` are broker settings that win over SETTINGS; `say` hears of downloads."""
        self.url = f"{HOST}:{port}"
        self.child = Child(self.name, log=folder.log(self.name), run_folder=folder.run)
        self._folder = folder
        self._controller = f"{HOST}:{controller_port}"
        self._settings = dict(settings or {})
        self._say = say

    @property
    def _data(self) -> Path:
        return self._folder.kafka / "data"

    async def spawn(self) -> None:
        """Downloads and formats where that is still to do. Raises RuntimeUnavailable, PartFailed."""
        java = await asyncio.to_thread(find_java)
        class_path = os.pathsep.join(str(jar) for jar in await self._jars())
        configured = self._configure()
        logging = f"-Dlog4j2.configurationFile={self._folder.kafka / 'log4j2.yaml'}"
        command = [str(java), *JVM, logging, "-cp", class_path]
        if not (self._data / "meta.properties").exists():
            await asyncio.to_thread(self._format, command, configured)
        self.child.start([*command, "kafka.Kafka", str(configured)])

    async def until_ready(self, timeout_seconds: float | None) -> None:
        async def answers() -> bool:
            return await kafka_answers(self.url)

        await poll_until(answers, self.child, timeout_seconds)

    async def _jars(self) -> list[Path]:
        loop, cancelled = asyncio.get_running_loop(), Flag()

        def progress(name: str, done: int, total: int) -> None:
            event = Event("download", self.name, f"Apache Kafka: {name}", done=done, total=total)
            loop.call_soon_threadsafe(self._say, event)

        try:
            return await asyncio.to_thread(kafka_jars, progress, cancelled)
        except asyncio.CancelledError:
            cancelled.set()  # the thread cannot be cancelled, but it looks here between two blocks
            raise

    def _configure(self) -> Path:
        """Writes the broker's files anew at each start, for ports and program versions may have changed."""
        listeners = f"PLAINTEXT://{self.url},CONTROLLER://{self._controller}"
        settings = SETTINGS | {
            "controller.quorum.voters": f"1@{self._controller}",
            "listeners": listeners,
            "advertised.listeners": f"PLAINTEXT://{self.url}",
            "log.dirs": str(self._data),
        }
        lines = [f"{key}={value}\n" for key, value in (settings | self._settings).items()]
        configured = self._folder.kafka / "server.properties"
        write_atomically(configured, "".join(lines).encode())
        write_atomically(self._folder.kafka / "log4j2.yaml", LOGGING.encode())
        return configured

    def _format(self, command: list[str], configured: Path) -> None:
        """Once per folder. The cluster id is kept first, so that one cut short is done again the same."""
        kept = self._folder.kafka / "cluster.id"
        if not kept.exists():
            write_atomically(kept, base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"="))
        arguments = ["format", "--cluster-id=" + kept.read_text(), "--config", str(configured)]
        done = subprocess.run(
            [*command, "kafka.tools.StorageTool", *arguments, "--ignore-formatted"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stdout + done.stderr).strip()[-600:]
            raise PartFailed(f"Kafka's data folder {self._data} could not be formatted: {words}")


async def kafka_answers(address: str) -> bool:
    """Whether a broker at HOST:PORT answers a metadata request and counts itself as part of the cluster."""
    host, _, port = address.rpartition(":")
    try:  # a bare connection first: aiokafka logs an error for each refusal, and they are expected here
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=3000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
