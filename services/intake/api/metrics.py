"""What intake counts. `door` is the way in: single or batch; `kind_of_signal` is feedback or activity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import TransientError
from shared.observability import counter, gauge, histogram
from shared.problem import Problem

ACCEPTED = counter("cqm_intake_accepted_total", "Signals that Kafka acknowledged", ["door", "kind_of_signal"])
REJECTED = counter(
    "cqm_intake_rejected_total",
    "Signals refused, and requests refused as a whole: malformed, invalid, conflict, too_large, media_type, "
    "slow_body, overload, unavailable",
    ["door", "reason"],
)
IN_FLIGHT_BYTES = gauge("cqm_intake_in_flight_bytes", "Bytes of bodies held now, inflated")
PUBLICATION_SIGNALS = histogram(
    "cqm_intake_publication_signals",
    "Signals that went to Kafka in one publication",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
)

_REASONS = {
    400: "malformed", 408: "slow_body", 409: "conflict", 413: "too_large", 415: "media_type", 422: "invalid",
    503: "overload",
}  # fmt: skip


def refused(door: str, status: int) -> None:
    """Count one refusal by the status that tells its reason."""
    REJECTED.labels(door, _REASONS[status]).inc()


@contextmanager
def counting_refusals(door: str) -> Iterator[None]:
    """Count what is refused as a whole inside, and let it pass on."""
    try:
        yield
    except Problem as problem:
        refused(door, problem.status)
        raise
    except TransientError:
        REJECTED.labels(door, "unavailable").inc()
        raise
