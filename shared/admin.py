"""Making the topics of shared/topics.py exist on a cluster, and saying where they differ."""

from __future__ import annotations

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from shared.errors import SetupError, Unavailable
from shared.topics import TOPICS

_EXISTS = 36
_NO_ERROR = 0


async def ensure_topics(bootstrap: str, security: dict[str, Any] | None = None) -> dict[str, str]:
    """Create what is missing, add partitions where there are fewer; returns what was done per topic.

    Replication is 3 on clusters of three brokers and more (then min.insync.replicas is 2), else 1.
    Raises Unavailable when Kafka does not answer, SetupError when it refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **(security or {}))
    try:
        await admin.start()
        try:
            return await _ensure(admin)
        finally:
            await admin.close()
    except KafkaError as error:
        raise Unavailable(f"Kafka at {bootstrap} did not answer: {type(error).__name__}") from error


async def _ensure(admin: AIOKafkaAdminClient) -> dict[str, str]:
    brokers = len((await admin.describe_cluster())["brokers"])
    replicas = 3 if brokers >= 3 else 1
    wanted = [
        NewTopic(
            topic.name, topic.partitions, replicas, topic_configs=topic.config(2 if replicas == 3 else 1)
        )
        for topic in TOPICS
    ]
    done: dict[str, str] = {}
    for error in (await admin.create_topics(wanted)).topic_errors:
        name, code = error[0], error[1]
        if code not in (_NO_ERROR, _EXISTS):
            raise SetupError(f"Kafka refused to create topic {name} (error code {code}); see its log")
        done[name] = "created" if code == _NO_ERROR else "exists"
    for found in await admin.describe_topics([topic.name for topic in TOPICS]):
        partitions = next(topic.partitions for topic in TOPICS if topic.name == found["topic"])
        if done[found["topic"]] == "exists" and len(found["partitions"]) < partitions:
            await admin.create_partitions({found["topic"]: NewPartitions(partitions)})
            done[found["topic"]] = f"partitions raised to {partitions}"
    return done
