"""`python -m tests.bench.raw_intake`: the limit of intake's doors, as a process of its own.

The same server with the same options, the same producer settings and partitions, records with as many
headers. A line is decoded by the decoder that the service has, into the struct of the contract: types, words
and lengths are part of decoding in msgspec. Nothing else is done with it: the batch publishes the lines as
they came, under their keys and with words that are sealed already, without rules between fields, characters
and names that stand twice, ids, fingerprints, seals, events written, or results by item. The single post is
what FastAPI's and aiokafka's own pages show, with msgspec in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from services.intake.api.signals import FEEDBACK
from services.intake.domain.inputs import FeedbackInput
from shared.codec import Outgoing
from shared.partitioner import partition_of
from shared.publish import Publisher, producer_options
from shared.service import serve
from shared.settings import Settings
from tests.bench.raw import SCRAP

HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/bench/raw"),
    ("ce_type", b"cqm.feedback.received.v1"),
    ("ce_time", b"2026-03-02T01:00:00.000000Z"),
    ("content-type", b"application/json"),
    ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]


def headers(said: FeedbackInput) -> list[tuple[str, bytes]]:
    """Those of a CloudEvent (shared/codec.py)."""
    return [("ce_id", said.external_id.encode()), *HEADERS]


def record(line: bytes) -> Outgoing:
    said: FeedbackInput = FEEDBACK.form.decoder.decode(line)
    return Outgoing(SCRAP.name, said.customer.id.encode(), line, headers(said))


def build(settings: Settings) -> FastAPI:
    publisher = Publisher(settings.kafka, client_id="raw")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with publisher, AIOKafkaProducer(**producer_options(settings.kafka, "raw-one")) as producer:
            app.state.producer = producer
            yield

    async def batch(request: Request) -> Response:
        """Plain Starlette."""
        records = [record(line) for line in (await request.body()).split(b"\n")]
        await publisher.publish(records)
        return Response(b'{"accepted":%d}' % len(records), 202, media_type="application/json")

    app = FastAPI(lifespan=lifespan, routes=[Route("/v1/feedback/batch", batch, methods=["POST"])])

    @app.post("/v1/feedback")
    async def one(request: Request) -> Response:
        made = record(await request.body())
        partition = partition_of(made.key, SCRAP.partitions)
        send = request.app.state.producer.send_and_wait
        await send(made.topic, made.value, made.key, partition, headers=made.headers)
        return Response(b'{"accepted":1}', 202, media_type="application/json")

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    settings = Settings()
    serve(lambda: build(settings), settings)
