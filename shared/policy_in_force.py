"""The policy in force while a service runs: a good new version takes over between batches, a bad one is
refused loudly and the old one stays (docs/policy.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from shared.errors import SetupError, TransientError
from shared.observability import gauge
from shared.policy import Policy, load_policy
from shared.watched_file import WatchedFile

log = structlog.get_logger("cqm.files")
_BROKE = "cannot be put in force: {}"
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
        self._taken: Policy | None = None

    def __call__(self) -> Policy:
        return self._file.value

    @property
    def wrong(self) -> str:
        """Why the policy as its files stand is not in force, else ""."""
        return self._file.wrong

    async def keep_fresh(self, changed: Changed) -> None:
        """Runs until cancelled. `changed` is told the policy of the start, and every new one.

        One that `changed` fails with is refused like one that cannot be read, unless it is the first: then,
        and when a server is away, the error goes to the caller, who runs this again.
        """

        async def looked(new: bool) -> None:
            if new:
                await self._take(changed)
            REFUSED.set(bool(self._file.wrong))

        # a run before this one may have failed with a policy that has been put right since
        await asyncio.to_thread(self._file.look)
        await self._take(changed)
        await self._file.keep_fresh(looked)

    async def _take(self, changed: Changed) -> None:
        policy = self._file.value
        _show(policy)
        try:
            await changed(policy)
        except TransientError:
            raise
        except Exception as error:
            if self._taken is None:
                raise
            self._refuse(self._taken, error)
        else:
            self._taken = policy

    def _refuse(self, before: Policy, error: Exception) -> None:
        """The one before stays, and the next change of the files is looked at."""
        self._file.value = before
        self._file.wrong = (
            str(error) if isinstance(error, SetupError) else _BROKE.format(type(error).__name__)
        )
        _show(before)
        log.critical(
            "file_refused", path=str(self._file.path), why=self._file.wrong, in_force="what was read before",
            exc_info=error,
        )  # fmt: skip


def _show(policy: Policy) -> None:
    """Replicas with different versions decide differently, each by a good policy: nothing else tells."""
    IN_FORCE.clear()
    IN_FORCE.labels(policy.version).set(1)
