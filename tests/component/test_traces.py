"""Spans as a collector of OpenTelemetry gets them: one trace from the caller through intake to a consumer."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from deploy.local.launch import execute
from shared.settings import DEMO_POLICY
from shared.topics import FEEDBACK
from tests.support.faults import Cluster
from tests.support.reading import begin_at_the_end
from tests.support.servers import Servers
from tests.support.spine import eventually

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """What an OTLP collector hears over HTTP, decoded: spans with the name of their service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []

    def hear(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            named = {
                attribute.key: attribute.value.string_value for attribute in resource.resource.attributes
            }
            service = named["service.name"]
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]

    def of_the_trace(self) -> dict[str, Span]:
        """The spans of TRACE by `SERVICE: NAME`."""
        found = (pair for pair in self.spans if pair[1].trace_id.hex() == TRACE)
        return {f"{service}: {span.name}": span for service, span in found}


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector, and its address."""
    collector = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                collector.hear(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Heard by every process that is started from here on."""
    with collecting() as (collector, address):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield collector


@pytest.fixture
async def cluster(
    collector: Collector, servers: Servers, prefix: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """Processes, because a process can say only once where its spans go."""
    cluster = Cluster(servers.kafka, servers.mongo, prefix, DEMO_POLICY, tmp_path, execute)
    await begin_at_the_end(servers, prefix, "analytics", FEEDBACK)
    await cluster.start(intake=1, analytics=1)
    yield cluster
    await cluster.close()


@pytest.mark.slow
async def test_a_request_and_the_batch_that_consumes_its_event_are_spans_of_the_callers_trace(
    cluster: Cluster, collector: Collector
) -> None:
    (intake,) = cluster.of("intake")
    async with httpx.AsyncClient(base_url=intake.url, trust_env=False) as http:
        answer = await http.post(
            "/v1/feedback",
            json={"kind": "praise", "text": "thank you"},
            headers={"traceparent": f"00-{TRACE}-{CALLER}-01"},
        )
    assert answer.status_code == 202
    async with httpx.AsyncClient(trust_env=False) as http:

        async def counted() -> bool:
            (analytics,) = cluster.of("analytics")
            page = (await http.get(f"{analytics.url}/metrics")).text
            return f'cqm_stream_records_total{{group="{cluster.prefix}.analytics.feedback"' in page

        await eventually(counted, what="analytics has consumed it")
    await cluster.drain()  # what is still held is exported then, long before the next regular export
    spans = collector.of_the_trace()
    assert set(spans) == {
        "cqm-intake: POST /v1/feedback",
        f"cqm-analytics: process {cluster.prefix}.analytics.feedback",
    }
    request, batch = (spans[name] for name in sorted(spans, reverse=True))
    assert (request.kind, request.parent_span_id.hex()) == (Span.SPAN_KIND_SERVER, CALLER)
    assert (batch.kind, batch.parent_span_id) == (Span.SPAN_KIND_CONSUMER, request.span_id)
    assert {attribute.key: attribute.value.int_value for attribute in batch.attributes} == {"cqm.records": 1}
