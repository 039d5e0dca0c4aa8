"""What an SRE sees: the catalogue of metrics, structured logs, traces.

Each metric is declared once, here, with its meaning, labels and unit; a test compares the catalogue with
/metrics. Logs are JSON lines with case, feedback and trace ids, and never personal data. Traces go to an
OTLP collector only when OTEL_EXPORTER_OTLP_ENDPOINT is set.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

Metric = Counter | Gauge | Histogram
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 4000)
CATALOGUE: dict[str, Metric] = {}


def _declare(metric: Metric) -> Metric:
    CATALOGUE[metric._name] = metric
    return metric


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """Declare a counter; `name` ends in `_total`, `meaning` says what one more means."""
    metric = Counter(name, meaning, labels)
    _declare(metric)
    return metric


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    metric = Gauge(name, meaning, labels)
    _declare(metric)
    return metric


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[float] = _SECONDS
) -> Histogram:
    metric = Histogram(name, meaning, labels, buckets=buckets)
    _declare(metric)
    return metric


STREAM_RECORDS = counter("cqm_stream_records_total", "Records done: processed or dead", ["group", "outcome"])
STREAM_DEAD_LETTERS = counter(
    "cqm_stream_dead_letters_total", "Records that went to the dead letters, by reason", ["group", "reason"]
)
STREAM_RETRIES = counter(
    "cqm_stream_retries_total", "Batches tried again: unavailable, fenced, split, transient", ["group", "why"]
)
STREAM_REBALANCES = counter("cqm_stream_rebalances_total", "Assignments of partitions received", ["group"])
STREAM_RESTARTS = counter(
    "cqm_stream_restarts_total", "Consumers restarted because they made no progress", ["group"]
)
STREAM_BATCH_RECORDS = histogram(
    "cqm_stream_batch_records", "Records per transaction", ["group"], buckets=_RECORDS
)
STREAM_BATCH_SECONDS = histogram(
    "cqm_stream_batch_seconds", "Time from decision to acknowledged events of a batch", ["group"]
)
STREAM_LAG = gauge("cqm_stream_lag_records", "Records in Kafka that are not processed yet", ["group"])
STREAM_AGE = gauge(
    "cqm_stream_oldest_age_seconds", "Age of the oldest record that is not processed yet; 0 without lag",
    ["group"],
)  # fmt: skip
STREAM_STOPPED = gauge(
    "cqm_stream_stopped_partitions", "Partitions stopped by a bug or by too many dead letters", ["group"]
)
STREAM_PARTITIONS = gauge("cqm_stream_assigned_partitions", "Partitions that this replica holds", ["group"])
PUBLISHED = counter("cqm_publish_records_total", "Records that Kafka acknowledged")
PUBLISH_SECONDS = histogram("cqm_publish_batch_seconds", "Time until Kafka acknowledged a publication")
HTTP_SECONDS = histogram("cqm_http_request_seconds", "Time to answer", ["method", "route", "status"])
HTTP_REFUSED = counter(
    "cqm_http_refused_total",
    "Refused before any route: malformed, target_too_long, headers_too_large, slow_head, overload",
    ["reason"],
)


@dataclass
class RateLimit(logging.Filter):
    """At most `burst` lines per logger and minute: an outage of minutes made one library write 58,600."""

    burst: int = 20

    def __post_init__(self) -> None:
        super().__init__()
        self._windows: dict[str, tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(time.monotonic() // 60)
        at, count = self._windows.get(record.name, (minute, 0))
        count = count + 1 if at == minute else 1
        self._windows[record.name] = (minute, count)
        return count <= self.burst or record.levelno >= logging.CRITICAL


def configure_logging(service: str, form: str = "json", level: int = logging.INFO) -> None:
    """Send structlog and the standard library's logs to stderr as JSON lines, or as text for a person."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(RateLimit(burst=200))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "pymongo", "httpx", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service, pid=os.getpid())


def configure_tracing(service: str) -> None:
    """Export spans by OTLP when OTEL_EXPORTER_OTLP_ENDPOINT is set; else spans cost nothing."""
    global _exported
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": f"cqm-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _exported = True


_exported = False
tracer = trace.get_tracer("cqm")
MAX_LINKS = 32
"""Traces that the span of a batch names; a batch of thousands stays one small span."""


def traced() -> bool:
    """Whether spans go anywhere; to make one that goes nowhere takes a tenth of the time of a request."""
    return _exported


def flush_traces() -> None:
    """Export what is still held; blocks, and for as long as a collector that does not answer lets it."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush()


def consumed(traceparents: Iterable[bytes]) -> tuple[Context | None, list[trace.Link]]:
    """Where the span of a batch belongs: in the trace of its records when they have one in common.

    Otherwise it begins a trace of its own, with links to theirs, at most MAX_LINKS of them (OpenTelemetry's
    conventions for messaging).
    """
    if not traced():
        return None, []
    some = islice(dict.fromkeys(header for header in traceparents if header), MAX_LINKS)
    contexts = [continued(header.decode("latin-1")) for header in some]
    spans = [trace.get_current_span(context).get_span_context() for context in contexts]
    links = [trace.Link(span) for span in spans if span.is_valid]
    return (contexts[0], []) if len(contexts) == len(links) == 1 else (None, links)


def continued(traceparent: str) -> Context:
    """The context in which a span is a child of the caller's."""
    return _W3C.extract({"traceparent": traceparent}, Context())


def carried(span: trace.Span) -> bytes:
    """The traceparent under which what `span` causes is its child."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, trace.set_span_in_context(span))
    return headers["traceparent"].encode()


_W3C = TraceContextTextMapPropagator()
