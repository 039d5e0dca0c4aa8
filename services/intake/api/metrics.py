"""What intake counts, per way in and per source.

`door` is the way: single, batch, events, imports, hooks, forms. `source` is that of the caller's key, of
which a hundred have a label (shared/key_ring.py): "api" has none of its own, "other" is everybody else.
`kind_of_signal` is feedback or activity.
"""

from __future__ import annotations

from functools import lru_cache

from shared.observability import counter, gauge, histogram

ACCEPTED = counter(
    "cqm_intake_accepted_total", "Signals that Kafka acknowledged", ["door", "kind_of_signal", "source"]
)
REJECTED = counter(
    "cqm_intake_rejected_total",
    "Signals refused, and requests refused as a whole: malformed, unauthorized, forbidden, not_found, "
    "slow_body, conflict, too_large, media_type, invalid, rate_limited, overload, unavailable, no_secret, "
    "trap, other",
    ["door", "source", "reason"],
)
RECEIVED_BYTES = counter("cqm_intake_received_bytes_total", "Bytes of bodies, inflated", ["door", "source"])
IN_FLIGHT_BYTES = gauge(
    "cqm_intake_in_flight_bytes", "Bytes of bodies held now, inflated", ["door", "source"]
)
ACKNOWLEDGED_SECONDS = histogram(
    "cqm_intake_acknowledged_seconds",
    "Time from a checked signal, or a slice of a batch, to Kafka's acknowledgement",
    ["door", "source"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
PUBLICATION_SIGNALS = histogram(
    "cqm_intake_publication_signals",
    "Signals that went to Kafka in one publication",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
)
FILES_REFUSED = gauge(
    "cqm_intake_files_refused",
    "1 while files of forms or adapters (hooks) are refused as they stand; what was read before stays",
    ["door"],
)
UNAVAILABLE = "unavailable"
TRAPPED = "trap"
"""A form that a program filled in: it is thanked, and nothing is taken."""

_REASONS = {
    400: "malformed", 401: "unauthorized", 403: "forbidden", 404: "not_found", 408: "slow_body",
    409: "conflict", 413: "too_large", 415: "media_type", 422: "invalid", 429: "rate_limited",
    503: "overload",
}  # fmt: skip


class Counts:
    """What is counted of one way in and one source, looked up once: a look costs as much as a count."""

    def __init__(self, way: str, source: str) -> None:
        self.in_flight = 0
        IN_FLIGHT_BYTES.labels(way, source).set_function(lambda: self.in_flight)
        self.received = RECEIVED_BYTES.labels(way, source)
        self.acknowledged = ACKNOWLEDGED_SECONDS.labels(way, source)
        self.accepted = {kind: ACCEPTED.labels(way, kind, source) for kind in ("feedback", "activity")}


counts = lru_cache(maxsize=None)(Counts)
"""By way and source, of which there are few."""


def reason(status: int) -> str:
    """Why something was refused, by the status that says so."""
    return _REASONS.get(status, "other")
