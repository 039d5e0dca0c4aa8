"""What Kafka and MongoDB need before the services start: the topics, and a replica set that answers."""

from __future__ import annotations

from typing import Any

from deploy.local.errors import PartFailed
from shared.admin import ensure_topics
from shared.errors import CQMError
from shared.mongo import Mongo
from shared.settings import KafkaSecurity


async def on_own_kafka(kafka: str, mongo: str) -> None:
    """For a Kafka started here, which asks nobody who is there. Raises PartFailed."""
    await _prepare(kafka, mongo, {})


async def on_given_kafka(kafka: str, mongo: str) -> None:
    """For the user's Kafka: CQM_KAFKA_* say how to speak to it. Raises PartFailed."""
    await _prepare(kafka, mongo, KafkaSecurity().options())


async def _prepare(kafka: str, mongo: str, security: dict[str, Any]) -> None:
    client = Mongo(mongo)
    try:
        await ensure_topics(kafka, security)
        await client.ping()
    except CQMError as error:
        raise PartFailed(str(error), "`cqm doctor --kafka HOST:PORT --mongo URI` says more") from error
    finally:
        client.close()
