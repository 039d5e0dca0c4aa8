"""What component tests have in common: each module leaves the topics empty."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.reading import forget_all
from tests.support.servers import GIVEN, Servers


@pytest.fixture(scope="module", autouse=True)
async def topics_are_left_empty(servers: Servers) -> AsyncIterator[None]:
    """A new service reads a topic from its beginning: what one module said, bombs and poison among it, would
    be read again by every service of the modules after it, and stop some. A given cluster is not touched.
    """
    yield
    if servers.kind != GIVEN:
        await forget_all(servers.kafka)
