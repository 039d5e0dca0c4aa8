"""The API keys in force: from what a caller shows to who it is, by a file that may change meanwhile."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from shared.api_keys import KeyEntry, Keys, Proof, read_keys
from shared.clock import Clock
from shared.principal import DEFAULT_SOURCE, PREFIX, Principal
from shared.rate_limit import Bucket, Rate, rate_per_second
from shared.watched_file import WatchedFile

MOST_LABELS = 100
OTHER = "other"


class _Known(NamedTuple):
    proof: Proof
    expires: datetime | None
    principal: Principal


class KeyRing:
    def __init__(self, path: Path, default_rate: Rate | None, clock: Clock) -> None:
        """`default_rate`: of keys that have none; None for no limit. Raises SetupError."""
        self._default_rate = default_rate
        self._clock = clock
        self._labels = {DEFAULT_SOURCE, OTHER}
        self._file = WatchedFile(path, read_keys)
        self._known: dict[str, _Known] = {}
        self._take_over(self._file.value)

    @property
    def wrong(self) -> str:
        """Why the file as it stands is not in force, else ""."""
        return self._file.wrong

    def find(self, token: str) -> Principal | None:
        """None for what is no key, not known, wrong or expired: a caller cannot tell one from the other."""
        id, _, secret = token.removeprefix(PREFIX).partition("_")
        known = self._known.get(id)
        if known is None or not known.proof.matches(secret):
            return None
        if known.expires is not None and known.expires <= self._clock.now():
            return None
        return known.principal

    async def look(self) -> None:
        """Take over what has changed in the file; what cannot be read changes nothing."""
        if await asyncio.to_thread(self._file.look):
            self._take_over(self._file.value)

    def _take_over(self, keys: Keys) -> None:
        self._known = {
            id: _Known(Proof(entry.sha256), entry.expires, self._principal(id, entry))
            for id, entry in sorted(keys.items())
        }

    def _principal(self, id: str, entry: KeyEntry) -> Principal:
        source = entry.source or entry.name
        return Principal(
            name=entry.name,
            source=source,
            fixed_source=entry.source is not None,
            scopes=frozenset(entry.scopes),
            label=self._label(source),
            bucket=self._bucket(id, entry),
            roles=tuple(entry.roles) or ("integration",),
            departments=tuple(entry.departments),
        )

    def _label(self, source: str) -> str:
        """The first so many sources have a label of their own for as long as the process lives."""
        if len(self._labels) < MOST_LABELS:
            self._labels.add(source)
        return source if source in self._labels else OTHER

    def _bucket(self, id: str, entry: KeyEntry) -> Bucket | None:
        """A bucket goes on as it is unless its size was changed: an edit of the file fills nobody's."""
        if entry.rate is not None:
            rate: Rate | None = Rate.of(rate_per_second(entry.rate), entry.burst)
        elif entry.burst is not None and self._default_rate is not None:
            rate = Rate.of(self._default_rate.per_second, entry.burst)
        else:
            rate = self._default_rate
        if rate is None:
            return None
        earlier = self._known[id].principal.bucket if id in self._known else None
        if earlier is not None and (earlier.rate, earlier.burst) == rate:
            return earlier
        return Bucket(*rate)
