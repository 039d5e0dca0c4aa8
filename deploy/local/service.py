"""One replica of a service: a process whose /readyz says whether it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from deploy.local.folder import DataFolder
from deploy.local.launch import Launch, execute
from deploy.local.part import poll_until
from deploy.local.ports import HOST
from deploy.local.process import Child

START_SECONDS = 180.0
GRACE_SECONDS = 10.0
"""A service drains in less (its handlers in 8 s); what is left then is killed, and done again later."""


class Service:
    """A Part. Replica 0 of a service bears its name, the others NAME-1, NAME-2, ..."""

    start_seconds = START_SECONDS
    grace_seconds = GRACE_SECONDS

    def __init__(
        self,
        name: str,
        port: int,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: DataFolder,
        launch: Launch = execute,
    ) -> None:
        self.name = name
        self.url = f"http://{HOST}:{port}"
        self.child = Child(name, log=folder.log(name), run_folder=folder.run, launch=launch)
        self._command = tuple(command)
        self._env = dict(env)

    async def spawn(self) -> None:
        self.child.start(self._command, self._env)

    async def until_ready(self, timeout_seconds: float | None) -> None:
        # Proxies of the environment are for the world outside, not for the loopback interface.
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=5.0) as client:

            async def ready() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == httpx.codes.OK
                except httpx.TransportError:  # not listening yet
                    return False

            await poll_until(ready, self.child, timeout_seconds)
