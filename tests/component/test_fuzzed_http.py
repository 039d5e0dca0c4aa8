"""schemathesis against the OpenAPI of each service, over real sockets with real servers behind: whatever fits
the description, or is off it, is answered, and never with a 500."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from services.analytics.app import build as build_analytics
from services.analytics.settings import AnalyticsSettings
from services.intake.app import build as build_intake
from services.intake.settings import IntakeSettings
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from services.sla.app import build as build_sla
from services.sla.settings import SlaSettings
from shared.problem import MEDIA_TYPE
from shared.settings import Settings
from tests.support.raw_http import listening
from tests.support.servers import Servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    # schemathesis's own strategies
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning"),
]

EXAMPLES = 6
"""For each operation and each of fitting and not fitting: some four hundred requests in all."""
PATIENCE_SECONDS = 10.0
ENDLESS = ("/imports/{identity}/events",)
"""Streams that end when their job does."""

Build = Callable[[Any], FastAPI]
SERVICES: dict[str, tuple[Build, type[Settings]]] = {
    "intake": (build_intake, IntakeSettings),
    "routing": (build_routing, RoutingSettings),
    "sla": (build_sla, SlaSettings),
    "analytics": (build_analytics, AnalyticsSettings),
}


@pytest.mark.parametrize("name", SERVICES)
async def test_nothing_is_answered_with_a_500(servers: Servers, prefix: str, name: str) -> None:
    build, kind = SERVICES[name]
    chosen = kind(kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text")
    app = build(chosen)
    async with listening(app, chosen) as service:
        await asyncio.to_thread(fuzz, app.openapi(), service.url)


def fuzz(document: dict[str, Any], url: str) -> None:
    """Every operation with what its description allows, and with what it does not."""
    config = SchemathesisConfig()
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=url)
    with requests.Session() as session:
        session.trust_env = False
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path.endswith(ENDLESS):
                continue
            for mode in GenerationMode:
                _exercise(operation, mode, session)


def _exercise(operation: schemathesis.APIOperation, mode: GenerationMode, session: requests.Session) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered(case: schemathesis.Case) -> None:
        response = case.call(session=session, timeout=PATIENCE_SECONDS)
        status, media_type = response.status_code, response.headers.get("content-type", [""])[0]
        assert status < 500 or status == 503, f"{operation.label}: {status}\n{case.as_curl_command()}"
        if status >= 400:
            assert media_type.startswith((MEDIA_TYPE, "text/html")), f"{operation.label}: {media_type}"

    try:
        answered()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label  # what takes nothing takes nothing wrong
