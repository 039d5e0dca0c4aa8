"""Real servers for every test that needs them, chosen by themselves and said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.support.fault_table import FaultTable
from tests.support.saying import Saying, say
from tests.support.servers import Servers, choose_servers

# a deadline would be a timing assert: the first example of a slow minute fails by it, and none after it
settings.register_profile("cqm", deadline=None)
settings.load_profile("cqm")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Saying(config))
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FaultTable())


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A real Kafka with CQM's topics and a real MongoDB: given ones, containers, or embedded ones."""
    with choose_servers(tmp_path_factory.mktemp("servers")) as chosen:
        say(request.config, f"servers: {chosen.kind} - kafka {chosen.kafka}, mongodb {chosen.mongo}")
        yield chosen


@pytest.fixture
def prefix() -> str:
    """A database prefix of the test's own."""
    return f"t{uuid4().hex[:10]}"
