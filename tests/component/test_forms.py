"""Forms on a real Kafka: what a person sends off is on its topic, once, with the reference that was told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urljoin
from uuid import uuid4

import pytest

from services.intake.app import build
from services.intake.settings import IntakeSettings
from shared import ids, topics
from shared.clock import FixedClock, SystemClock
from shared.codec import decode
from shared.forms import Link, Signer
from tests.component.test_intake import records_after
from tests.support.apps import Running, running_app
from tests.support.forms import Page
from tests.support.servers import Servers

SECRET = "a secret of these tests"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(SystemClock().now())


@pytest.fixture
async def intake(servers: Servers, prefix: str, clock: FixedClock) -> AsyncIterator[Running]:
    settings = IntakeSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text", secret=SECRET
    )
    async with running_app(build(settings, clock)) as running:
        yield running


async def send(intake: Running, clock: FixedClock, path: str, **answers: str) -> str:
    """Opens the page, answers as a person does, sends it off twice; the reference that was told."""
    page = Page((await intake.http.get(f"/forms/{path}")).text)
    clock.advance(20)
    form = f"/forms/{path}".partition("?")[0]
    sent = [await intake.http.post(form, data=page.controls | answers) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [303, 303], sent[0].text
    thanks = [await intake.http.get(urljoin(form, answer.headers["location"])) for answer in sent]
    assert thanks[0].text == thanks[1].text
    return thanks[0].text


async def test_a_double_click_on_a_complaint_is_the_same_record_twice(
    intake: Running, clock: FixedClock, servers: Servers
) -> None:
    customer = f"C-{uuid4().hex}"
    link = Signer(SECRET).sign(Link("complaint", customer, "O-1", "delivery"))
    async with records_after(servers, topics.FEEDBACK.name) as read:
        thanks = await send(
            intake, clock, f"complaint?lang=zh&link={link}",
            happened="damaged", text="箱子压坏了，杯子碎了", consent="yes", phone="13800138000",
        )  # fmt: skip
        records = await read(customer, 2)
    first, second = (decode(record.value, record.headers)[0] for record in records)
    assert (first.id, first.fingerprint) == (second.id, second.fingerprint)
    assert ids.reference(first.id) in thanks
    assert (first.kind, first.channel, first.language) == ("complaint", "web", "zh")
    assert (first.customer.id, first.order_id, first.touchpoint) == (customer, "O-1", "delivery")
    assert {record.key for record in records} == {customer.encode()}


async def test_a_survey_is_a_feedback_for_each_rating(
    intake: Running, clock: FixedClock, servers: Servers
) -> None:
    customer = f"C-{uuid4().hex}"
    link = Signer(SECRET).sign(Link("satisfaction", customer))
    async with records_after(servers, topics.FEEDBACK.name) as read:
        thanks = await send(
            intake, clock, f"satisfaction?lang=en&link={link}", recommend="9", satisfied="5", text="Quick!"
        )
        records = await read(customer, 4)
    seals = intake.service.seals
    events = (seals.opened(decode(record.value, record.headers)[0]) for record in records)
    said = {event.id: event for event in events}
    assert sorted((event.rating.metric, event.rating.score) for event in said.values()) == [
        ("csat", 5), ("nps", 9),
    ]  # fmt: skip
    (first,) = [event for event in said.values() if event.text]
    assert (first.rating.metric, first.language) == ("nps", "en")
    assert ids.reference(first.id) in thanks
