"""What an instance shall be: the arguments of `cqm up`, as data that can travel to another process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import msgspec

from deploy.local.ports import HOST

CACHE_GB = 0.5
"""WiredTiger's cache: what one machine for trying out can spare."""
SERVICES = ("intake", "routing", "sla", "analytics")
COMMAND = (sys.executable, "-m", "services.{name}")
PRELOADED = (
    "shared.service",
    "shared.policy",
    # These are imported where the need arises, which is at every start of a service.
    "holidays.countries",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`kafka` (HOST:PORT) and `mongo` (URI) name servers that run already; None starts our own.

    `replicas` holds counts above one. `command` is a service's argv with {name} in it. `preload` names
    the modules that are imported before services are forked; empty: each service is executed. `prepare` is
    `package.module:function`, an async function (kafka, mongo) that creates topics and the like: the
    background process imports it, Supervisor takes the function itself. `env` wins over all other
    variables of the services.
    """

    data_dir: str
    kafka: str | None = None
    mongo: str | None = None
    policy: str | None = None
    port_base: int | None = None
    replicas: dict[str, int] = {}
    services: tuple[str, ...] = SERVICES
    command: tuple[str, ...] = COMMAND
    preload: tuple[str, ...] = PRELOADED
    prepare: str | None = None
    env: dict[str, str] = {}
    mongo_cache_gb: float = CACHE_GB


def service_env(
    plan: Plan,
    kafka: str,
    mongo: str,
    port: int,
    inherited: Mapping[str, str] = os.environ,
    secret: str = "",
) -> dict[str, str]:
    """The environment of one service process. `secret` is CQM_SECRET where the user has set none.

    Security settings for a Kafka of the user's (CQM_KAFKA_*) do not hold for the one started here.
    """
    own_kafka = plan.kafka is None
    env = {k: v for k, v in inherited.items() if not (own_kafka and k.startswith("CQM_KAFKA_"))}
    env |= {"CQM_KAFKA": kafka, "CQM_MONGO": mongo, "CQM_PORT": str(port), "CQM_HOST": HOST}
    env |= {"CQM_AUTH": "off", "CQM_LOG": "json"}
    if plan.policy is not None:
        env["CQM_POLICY"] = plan.policy
    if not env.get("CQM_SECRET") and secret:
        env["CQM_SECRET"] = secret
    return env | plan.env
