"""From what a sender says to the event: identity, fingerprint, language, time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.intake.domain.inputs import ActivityInput, FeedbackInput
from services.intake.domain.reading import Form
from services.intake.domain.signals import Sender, activity_recorded, feedback_received, language_of
from shared import ids
from shared.events import Customer, FeedbackReceived, Personal

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
SENDER = Sender("api")
FEEDBACK, ACTIVITY = Form(FeedbackInput), Form(ActivityInput)


def event(sender: Sender = SENDER, now: datetime = NOW, **fields: Any) -> FeedbackReceived:
    said = {"kind": "complaint", "text": "broken"} | fields
    return feedback_received(FEEDBACK.read(json.dumps(said).encode(), NOW, sender.source), sender.key, now)


def test_the_upstream_identity_decides_the_id() -> None:
    first = event(source="shop", external_id="R-1", text="a")
    assert first.id == event(source="shop", external_id="R-1", text="b").id
    assert first.id == ids.signal_id("feedback", "shop", "R-1")
    assert first.id != event(source="mall", external_id="R-1").id


def test_an_activity_and_a_feedback_of_one_external_id_are_two() -> None:
    said = ACTIVITY.read(b'{"kind": "order", "source": "shop", "external_id": "1"}', NOW)
    assert activity_recorded(said, (), NOW).id != event(source="shop", external_id="1").id


def test_without_an_external_id_the_idempotency_key_decides() -> None:
    keyed = Sender("api", ("k-1",))
    assert event(keyed).id == event(keyed).id == ids.name_id("feedback-key", "api", "k-1")
    assert event(keyed).id != event(Sender("api", ("k-2",))).id
    assert event(keyed, external_id="R-1").id == event(external_id="R-1").id


def test_without_any_identity_each_is_another() -> None:
    assert event().id != event().id


def test_the_source_is_the_senders_where_none_is_named() -> None:
    assert event().source == "api"
    assert event(source="shop").source == "shop"
    assert event(external_id="1").id == event(source="api", external_id="1").id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"now": NOW + timedelta(hours=1)}, id="received later"),
        pytest.param({}, {"source": "api", "channel": "api"}, id="defaults spelt out"),
        pytest.param({}, {"order_id": "", "customer": {}, "attributes": {}}, id="nothing said"),
        pytest.param(
            {"attributes": {"a": 1, "b": 2}},
            {"attributes": {"b": 2, "a": 1}},
            id="attributes in another order",
        ),
        pytest.param(
            {"occurred_at": "2026-03-02T09:00:00+08:00"},
            {"occurred_at": "2026-03-02T01:00:00Z"},
            id="the same moment",
        ),
        pytest.param(
            {"occurred_at": "2026-03-02T01:31:00Z"},
            {"occurred_at": "2026-03-02T01:31:00Z", "now": NOW + timedelta(days=1)},
            id="a moment ahead of the first receipt",
        ),
        pytest.param(
            {"rating": {"metric": "nps", "score": 9, "scale_min": 0, "scale_max": 10}},
            {"rating": {"metric": "nps", "score": 9.0, "scale_min": 0, "scale_max": 10}},
            id="9 and 9.0",
        ),
    ],
)
def test_the_same_said_again_has_the_same_fingerprint(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert event(**one).fingerprint == event(**other).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        {"text": "broken!"},
        {"customer": {"id": "C-1"}},
        {"customer": {"phone": "1"}},
        {"occurred_at": "2026-03-02T01:00:00Z"},
        {"attributes": {"a": 1}},
        {"attributes": {"a": "1"}},
        {"language": "en"},
    ],
    ids=str,
)
def test_something_else_said_has_another_fingerprint(other: dict[str, Any]) -> None:
    assert event().fingerprint != event(**other).fingerprint


def test_a_fingerprint_stays_what_it_is_through_versions() -> None:
    """Changing it would turn every repetition across a deployment into a conflict."""
    assert event(source="shop", customer={"id": "C-1"}).fingerprint == "0d2ca5ae834b9235"


def test_it_happened_when_the_sender_says_in_utc() -> None:
    at = event(occurred_at="2026-03-02T09:00:00+08:00").occurred_at
    assert at == datetime(2026, 3, 2, 1, tzinfo=UTC) and at.utcoffset() == timedelta(0)


def test_it_happened_at_the_receipt_when_nothing_else_is_said() -> None:
    assert event().occurred_at == event().received_at == NOW


def test_a_clock_that_is_a_little_ahead_is_set_back() -> None:
    assert event(occurred_at=(NOW + timedelta(minutes=4)).isoformat()).occurred_at == NOW


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The box is broken", "en"),
        ("La caja está rota", "en"),
        ("箱子坏了", "zh"),
        ("iPhone 屏幕碎了", "zh"),
        ("𠮷野家", "zh"),
        ("коробка сломана", "other"),
        ("こわれた", "other"),
        ("12345 !!", "other"),
        ("", "other"),
    ],
)
def test_the_language_is_seen_by_its_letters(text: str, language: str) -> None:
    assert language_of(text, "") == language_of("", text) == language


def test_a_language_that_is_said_counts() -> None:
    assert event(text="箱子坏了", language="en").language == "en"


def test_personal_data_stand_apart() -> None:
    customer = event(customer={"id": "C-9", "tier": "gold", "name": "王", "phone": "1"}).customer
    assert customer == Customer(id="C-9", tier="gold", personal=Personal(name="王", phone="1"))
    assert event(customer={"id": "C-9"}).customer.personal is None
