"""What an operator sees: metrics with meanings, logs as JSON lines, and no flood of either."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from shared import observability
from shared.observability import CATALOGUE, RateLimit, configure_logging, configure_tracing

Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """What went to stderr, with the logging of the test run put back afterwards."""
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    kept = structlog.contextvars.get_contextvars()
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**kept)


def lines(said: Said) -> list[dict[str, object]]:
    return [json.loads(line) for line in said().splitlines()]


def test_a_log_line_is_json_with_service_process_time_and_ids(said: Said) -> None:
    configure_logging("sla")
    with structlog.contextvars.bound_contextvars(trace_id="0af7"):
        structlog.get_logger("cqm.test").warning("案件 told", case="c-1")
    (line,) = lines(said)
    assert line["event"] == "案件 told"
    assert (line["service"], line["case"], line["trace_id"]) == ("sla", "c-1", "0af7")
    assert (line["logger"], line["level"]) == ("cqm.test", "warning")
    assert str(line["at"]).endswith("Z")
    assert isinstance(line["pid"], int)


def test_the_logs_of_libraries_have_the_same_form(said: Said) -> None:
    configure_logging("sla")
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("aiokafka.conn").exception("connection %s", "lost")
    (line,) = lines(said)
    assert (line["event"], line["logger"], line["service"]) == ("connection lost", "aiokafka.conn", "sla")
    assert "ValueError: no" in str(line["exception"])


def test_libraries_that_talk_much_are_heard_from_warning_up(said: Said) -> None:
    configure_logging("sla")
    logging.getLogger("httpx").info("GET /")
    logging.getLogger("cqm.test").info("said")
    assert [line["event"] for line in lines(said)] == ["said"]


def test_a_person_may_have_text_instead(said: Said) -> None:
    configure_logging("sla", form="text")
    logging.getLogger("cqm.test").warning("said")
    text = said()
    assert "said" in text
    assert not text.startswith("{")


def record(name: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, "message", None, None)


def test_one_logger_cannot_flood_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability.time, "monotonic", lambda: 30.0)
    limit = RateLimit(burst=3)
    assert [limit.filter(record("aiokafka")) for _ in range(5)] == [True, True, True, False, False]
    assert limit.filter(record("cqm.stream"))


def test_the_next_minute_begins_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [59.0]
    monkeypatch.setattr(observability.time, "monotonic", lambda: now[0])
    limit = RateLimit(burst=1)
    assert [limit.filter(record("a")), limit.filter(record("a"))] == [True, False]
    now[0] = 60.0
    assert limit.filter(record("a"))


def test_what_is_critical_is_never_held_back() -> None:
    limit = RateLimit(burst=0)
    assert not limit.filter(record("a"))
    assert limit.filter(record("a", logging.CRITICAL))


def test_every_metric_is_declared_once_under_the_name_of_the_catalogue() -> None:
    for name, metric in CATALOGUE.items():
        assert metric.describe()[0].name == name
    with pytest.raises(ValueError, match="Duplicated"):
        observability.counter("cqm_publish_records_total", "Declared a second time")


FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traces(count: int) -> list[bytes]:
    return [f"00-{number:032x}-{number:016x}-01".encode() for number in range(1, count + 1)]


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> trace.Tracer:
    """Of a provider that exports nothing; the one of the process can be set only once."""
    monkeypatch.setattr(observability, "traced", lambda: True)
    return TracerProvider().get_tracer("test")


def test_a_span_is_the_child_of_the_caller_and_what_it_causes_is_its_own(tracer: trace.Tracer) -> None:
    span = tracer.start_span("POST", observability.continued(FIRST))
    assert isinstance(span, ReadableSpan) and span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == tuple(FIRST.split("-")[1:3])
    own = span.get_span_context()
    assert observability.carried(span) == f"00-{own.trace_id:032x}-{own.span_id:016x}-01".encode()
    assert own.trace_id == span.parent.trace_id


def test_a_span_without_a_readable_caller_begins_a_trace_whatever_else_goes_on(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("another"):
        span = tracer.start_span("POST", observability.continued("00-0-0-01"))
    assert isinstance(span, ReadableSpan)
    assert span.parent is None


@pytest.mark.usefixtures("tracer")
def test_a_batch_of_one_trace_belongs_to_it() -> None:
    context, links = observability.consumed([b"", FIRST.encode(), FIRST.encode()])
    parent = trace.get_current_span(context).get_span_context()
    assert (f"{parent.trace_id:032x}", links) == (FIRST.split("-")[1], [])


@pytest.mark.usefixtures("tracer")
@pytest.mark.parametrize(
    ("headers", "count"),
    [
        pytest.param(traces(3) * 2, 3, id="each once"),
        pytest.param(traces(100), observability.MAX_LINKS, id="not more than a span should hold"),
        pytest.param([b"", b"00-xyz", b"\xff"], 0, id="what is no trace is left out"),
        pytest.param([], 0, id="none"),
    ],
)
def test_a_batch_of_many_traces_is_linked_to_them(headers: list[bytes], count: int) -> None:
    context, links = observability.consumed(headers)
    assert (context, len({link.context.trace_id for link in links})) == (None, count)


def test_without_a_collector_nobody_reads_traces() -> None:
    assert observability.consumed(traces(1)) == (None, [])


def test_without_a_collector_no_spans_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    before = trace.get_tracer_provider()
    configure_tracing("sla")
    assert trace.get_tracer_provider() is before
    with observability.tracer.start_as_current_span("x") as span:
        assert not span.is_recording()
