"""A Kafka cluster as CQM sees it: its brokers, and how our topics differ from shared/topics.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from shared.errors import Unavailable
from shared.topics import TOPICS, Topic


@dataclass(frozen=True)
class FoundTopic:
    """`replicas` is the smallest number that a partition has; `config` what holds, defaults included."""

    partitions: int
    replicas: int
    under_replicated: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class Cluster:
    """`topics` holds those of ours that exist."""

    brokers: int
    controller: int
    topics: Mapping[str, FoundTopic]


@dataclass(frozen=True)
class TopicRow:
    """One topic of the table, and what is the matter with it. `lacking`: it is missing or has too few
    partitions, which is what `cqm topics --create` is there for."""

    name: str
    state: Literal["ok", "missing", "differs"]
    lacking: bool
    partitions: int
    replicas: int
    differences: list[str]


async def look(bootstrap: str, security: dict[str, Any]) -> Cluster:
    """Raises Unavailable when Kafka does not answer, or refuses to say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000, **security)
    try:
        await admin.start()
        try:
            about = await admin.describe_cluster()
            return Cluster(len(about["brokers"]), about["controller_id"], await _topics(admin))
        finally:
            await admin.close()
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {bootstrap} did not answer: {type(error).__name__}") from error


async def _topics(admin: AIOKafkaAdminClient) -> dict[str, FoundTopic]:
    """Asks for those that exist only: to ask for another one may create it."""
    exist = set(await admin.list_topics())
    ours = [topic.name for topic in TOPICS if topic.name in exist]
    if not ours:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in ours]
    configs: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for resource in answer.to_object()["resources"]:
            entries = resource["config_entries"]
            configs[resource["resource_name"]] = {e["config_names"]: e["config_value"] for e in entries}
    return {
        found["topic"]: _found(found["partitions"], configs.get(found["topic"], {}))
        for found in await admin.describe_topics(ours)
    }


def _found(partitions: list[dict[str, Any]], config: dict[str, str]) -> FoundTopic:
    return FoundTopic(
        partitions=len(partitions),
        replicas=min((len(partition["replicas"]) for partition in partitions), default=0),
        under_replicated=sum(len(partition["isr"]) < len(partition["replicas"]) for partition in partitions),
        config=config,
    )


def compare(cluster: Cluster) -> list[TopicRow]:
    """Each wanted topic beside what there is."""
    return [_row(topic, cluster.topics.get(topic.name), cluster.brokers) for topic in TOPICS]


def _row(topic: Topic, found: FoundTopic | None, brokers: int) -> TopicRow:
    if found is None:
        return TopicRow(topic.name, "missing", True, 0, 0, ["does not exist"])
    wanted = topic.config(2 if brokers >= 3 else 1)
    differences = [
        f"{name} is {found.config[name]} instead of {value}"
        for name, value in wanted.items()
        if name in found.config and found.config[name] != value
    ]
    lacking = found.partitions < topic.partitions
    if lacking:
        differences.insert(0, f"{found.partitions} partitions instead of {topic.partitions}")
    if found.under_replicated:
        differences.insert(0, f"{found.under_replicated} partitions lack replicas in sync")
    state: Literal["ok", "differs"] = "differs" if differences else "ok"
    return TopicRow(topic.name, state, lacking, found.partitions, found.replicas, differences)
