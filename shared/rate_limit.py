"""How often each caller may come: token buckets, bounded in number. Pure: time is an argument.

A bucket holds up to `burst` tokens and gains `rate` of them per second. Whoever finds a whole token in it may
take; what costs more than is there leaves a debt that `rate` pays off. So a batch that is larger than the
bucket still gets through, and over any span of s seconds a caller takes less than
`burst + rate * s + the cost of one take`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from math import ceil
from typing import NamedTuple

BURST_SECONDS = 10
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


class Take(NamedTuple):
    """What came of one `take`. `remaining`: whole tokens left; `reset`: seconds until the bucket is full;
    `wait`: seconds until the next take can be granted, 0 when one can be at once."""

    granted: bool
    remaining: int
    reset: float
    wait: float


def rate_per_second(text: str) -> float:
    """`50/s`, `10/min`, `500/h` as a number per second. Raises ValueError."""
    found = _RATE.fullmatch(text)
    rate = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if not rate:
        raise ValueError("a rate is a number above 0 per s, min or h, such as 50/s")
    return rate


class Rate(NamedTuple):
    """Tokens per second, above 0, and how many at once, at least 1."""

    per_second: float
    burst: float

    @classmethod
    def of(cls, per_second: float, burst: float | None = None) -> Rate:
        """Without a burst: what BURST_SECONDS bring."""
        return cls(per_second, burst or max(1.0, ceil(per_second * BURST_SECONDS)))


class Bucket:
    """The bucket of one caller: a number of tokens and when they were counted."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        """`rate` in tokens per second, above 0; `burst` in tokens, at least 1. Full at first."""
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = float("-inf")

    def take(self, cost: float, now: float, least: float = 1.0) -> Take:
        """Granted when so many tokens as `least` are there. `now` in seconds of any clock that does not go
        back; `cost` 0 only looks."""
        if now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now
        granted = self._tokens >= least
        if granted:
            self._tokens -= cost
        left = self._tokens
        wait = 0.0 if left >= 1 else (1 - left) / self.rate
        return Take(granted, max(0, int(left)), (self.burst - left) / self.rate, wait)


class RateLimiter:
    """A bucket per key, all of one size. Memory is bounded: beyond `keys_max` keys the one that has not come
    for longest is forgotten, which is the one most likely to be full again."""

    def __init__(self, rate: float, burst: float, keys_max: int) -> None:
        self._rate = rate
        self._burst = burst
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    @property
    def known(self) -> int:
        """Keys that are remembered."""
        return len(self._buckets)

    def bucket(self, key: str) -> Bucket:
        """The bucket of `key`; a full one where it is not known."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, self._burst)
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket

    def take(self, key: str, cost: float, now: float) -> Take:
        """See Bucket.take."""
        return self.bucket(key).take(cost, now)


def fields(bucket: Bucket, take: Take) -> list[tuple[bytes, bytes]]:
    """Of an answer, by draft-ietf-httpapi-ratelimit-headers-06, the last with one field for each number.

    The policy's window is the time in which an empty bucket fills.
    """
    quota, window = int(bucket.burst), max(1, ceil(bucket.burst / bucket.rate))
    return [
        (b"ratelimit-limit", b"%d" % quota),
        (b"ratelimit-remaining", b"%d" % take.remaining),
        (b"ratelimit-reset", b"%d" % ceil(take.reset)),
        (b"ratelimit-policy", b"%d;w=%d" % (quota, window)),
    ]
