"""The policy in force while a service runs: a good new version takes over between batches, a bad one is
refused loudly and the old one stays (docs/policy.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from shared.observability import gauge
from shared.policy import Policy, load_policy
from shared.watched_file import WatchedFile

REFUSED = gauge(
    "cqm_policy_refused", "1 while the policy as its files stand is refused, and an older one is in force"
)
IN_FORCE = gauge(
    "cqm_policy_in_force", "1, with the version of the policy in force at this replica", ("version",)
)
Changed = Callable[[Policy], Awaitable[None]]


class PolicyInForce:
    """Called, it answers the policy of this moment. Whoever decides about a batch asks once."""

    def __init__(self, folder: Path) -> None:
        """Raises PolicyError when the first one is refused."""
        self._file = WatchedFile(folder, load_policy)

    def __call__(self) -> Policy:
        return self._file.value

    @property
    def wrong(self) -> str:
        """Why the policy as its files stand is not in force, else ""."""
        return self._file.wrong

    async def keep_fresh(self, changed: Changed) -> None:
        """Runs until cancelled. `changed` is told the policy of the start, and every new one."""

        async def looked(new: bool) -> None:
            if new:
                _show(self._file.value)
                await changed(self._file.value)
            REFUSED.set(bool(self._file.wrong))

        _show(self._file.value)
        await changed(self._file.value)
        await self._file.keep_fresh(looked)


def _show(policy: Policy) -> None:
    """Replicas with different versions decide differently, each by a good policy: nothing else tells."""
    IN_FORCE.clear()
    IN_FORCE.labels(policy.version).set(1)
