"""The issuer of tokens: its keys, fetched in the background, and who a token says that the caller is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import structlog

from shared.clock import Clock
from shared.errors import SetupError, Unavailable
from shared.principal import ROLES, SCOPES, Principal
from shared.rate_limit import Rate, RateLimiter
from shared.settings import is_address
from shared.tokens import Claims, TokenRefused, UnknownKey, Verifier, key_set_file, read_key_set, words
from shared.watched_file import WatchedFile

log = structlog.get_logger("cqm.auth")

FETCH_SECONDS = 5.0
FETCH_EVERY = 300.0
"""Seconds between two looks at the issuer's address for keys that it has added or withdrawn."""
FETCH_AGAIN = 30.0
"""Least seconds between two fetches, whatever tokens come."""
FETCH_FIRST = 2.0
"""Seconds between two fetches as long as there are no keys at all."""
FETCH_BYTES = 1_000_000
MOST_SUBJECTS = 10_000
"""Subjects whose rate is remembered."""


class Issuer:
    """`jwks` is an address or a file. `wrong` says why there are no keys, or none newer, else ""."""

    def __init__(
        self,
        jwks: str,
        verifier: Verifier,
        rate: Rate | None,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises SetupError when a file cannot be read. From an address nothing is fetched yet."""
        self.wrong = ""
        self._verifier = verifier
        self._limiter = RateLimiter(*rate, MOST_SUBJECTS) if rate else None
        self._clock = clock
        self._monotonic = monotonic
        self._address = jwks if is_address(jwks) else ""
        self._file = None if self._address else WatchedFile(Path(jwks), key_set_file)
        self._fetched_at = float("-inf")
        """When a fetch last ended, well or not."""
        self._wanted = asyncio.Event()
        if self._file is not None:
            verifier.use(self._file.value)
        else:
            self.wrong = f"the keys of {jwks} were not fetched yet"

    @property
    def ready(self) -> bool:
        """Whether there are any keys."""
        return self._verifier.ready

    def find(self, token: str) -> Principal | None:
        """None for a token that is not valid. Raises Unavailable while newer keys are on their way."""
        try:
            return self._principal(self._verifier.verify(token, self._clock.now().timestamp()))
        except TokenRefused as refused:
            if isinstance(refused, UnknownKey) and self._may_fetch():
                self._wanted.set()
                raise Unavailable("the issuer's keys are being fetched") from None
            log.info("token_refused", why=refused.code)
            return None

    def _may_fetch(self) -> bool:
        return bool(self._address) and self._monotonic() - self._fetched_at >= FETCH_AGAIN

    def _principal(self, claims: Claims) -> Principal:
        said = words(claims.roles)  # other applications' roles may stand among them
        return Principal(
            name=claims.sub,
            scopes=claims.granted & SCOPES,
            bucket=self._limiter.bucket(claims.sub) if self._limiter is not None else None,
            roles=tuple(role for role in ROLES if role in said),
            departments=words(claims.departments),
        )

    async def look(self) -> None:
        """Take over what has changed in a file."""
        if self._file is not None:
            if await asyncio.to_thread(self._file.look):
                self._verifier.use(self._file.value)
            self.wrong = self._file.wrong

    async def keep_fetching(self) -> None:
        """The keys of an address: now, every FETCH_EVERY seconds, and when a token names an unknown one."""
        while self._address:
            self._wanted.clear()
            self.wrong = await self._fetch()
            self._fetched_at = self._monotonic()
            if self.wrong:
                log.error("issuer_keys_not_fetched", why=self.wrong)
            pause = FETCH_EVERY if self._verifier.ready else FETCH_FIRST
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)

    async def _fetch(self) -> str:
        """Why there is nothing new, else ""."""
        try:
            async with asyncio.timeout(FETCH_SECONDS), httpx.AsyncClient(timeout=FETCH_SECONDS) as client:
                self._verifier.use(read_key_set(await _content(client, self._address)))
        except (httpx.HTTPError, SetupError, TimeoutError) as error:
            return f"{self._address}: {str(error) or type(error).__name__}"
        return ""


async def _content(client: httpx.AsyncClient, address: str) -> bytes:
    """Raises SetupError when it is larger than a set of keys ever is; redirects are not followed."""
    content = b""
    async with client.stream("GET", address) as answer:
        if answer.status_code != httpx.codes.OK:
            raise SetupError(f"answered {answer.status_code}")
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > FETCH_BYTES:
                raise SetupError(f"answered more than {FETCH_BYTES} bytes")
    return content
