"""From what a sender says to the event: identity, fingerprint, language, time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType

from services.intake.api.signals import Arrival
from services.intake.domain.inputs import (
    ActivityInput,
    CustomerInput,
    FeedbackInput,
    ProductInput,
    RatingInput,
)
from services.intake.domain.reading import Form
from services.intake.domain.signals import Sender
from shared import ids
from shared.events import ActivityRecorded, Customer, Event, FeedbackReceived, Personal, Product, Rating
from shared.key_tree import place_of
from shared.language import language_of
from tests.support.seals import SEALS

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
E = TypeVar("E", bound=Event)
SENDER = Sender("api")
FEEDBACK, ACTIVITY = Form(FeedbackInput), Form(ActivityInput)


def event(sender: Sender = SENDER, now: datetime = NOW, **fields: Any) -> FeedbackReceived:
    said = {"kind": "complaint", "text": "broken"} | fields
    read = FEEDBACK.read(json.dumps(said).encode(), NOW, sender.source)
    value = Arrival("feedback", now, SEALS).receive(read, sender.key).record.value
    return opened(value, FeedbackReceived)


def opened(value: bytes, kind: type[E]) -> E:
    return cast(E, SEALS.opened(msgspec.json.decode(value, type=kind)))


def test_the_upstream_identity_decides_the_id() -> None:
    first = event(source="shop", external_id="R-1", text="a")
    assert first.id == event(source="shop", external_id="R-1", text="b").id
    assert first.id == ids.signal_id("feedback", "shop", "R-1")
    assert first.id != event(source="mall", external_id="R-1").id


def test_an_activity_and_a_feedback_of_one_external_id_are_two() -> None:
    said = ACTIVITY.read(b'{"kind": "order", "source": "shop", "external_id": "1"}', NOW)
    assert Arrival("activity", NOW, SEALS).receive(said).id != str(event(source="shop", external_id="1").id)


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
    assert event(source="shop").fingerprint == "9140ad15a3480905"
    assert event(source="shop", customer={"id": "C-1"}).fingerprint == "adf4fac6aa5ee7ec"


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


def test_what_a_person_said_and_who_they_are_is_sealed() -> None:
    said = {"kind": "complaint", "subject": "坏了", "text": "torn, again"}
    for customer in ({"id": "C-9", "tier": "gold", "name": "王芳", "phone": "1"}, {"email": "a@b.c"}):
        read = FEEDBACK.read(json.dumps(said | {"customer": customer}).encode(), NOW, "api")
        value = Arrival("feedback", NOW, SEALS).receive(read).record.value
        plain, read_again = msgspec.json.decode(value, type=FeedbackReceived), opened(value, FeedbackReceived)
        assert (plain.subject, plain.text, plain.customer.personal) == ("", "", None) and plain.sealed
        assert (read_again.subject, read_again.text) == ("坏了", "torn, again")
        assert plain.customer.id == customer.get("id", "") and plain.fingerprint == read_again.fingerprint
        for word in ("坏了", "torn", "王芳", "a@b.c"):
            assert word.encode() not in value


def test_personal_data_stand_apart() -> None:
    customer = event(customer={"id": "C-9", "tier": "gold", "name": "王", "phone": "1"}).customer
    assert customer == Customer(id="C-9", tier="gold", personal=Personal(name="王", phone="1"))
    assert event(customer={"id": "C-9"}).customer.personal is None


def test_what_nobody_said_by_name_stays_readable() -> None:
    read = FEEDBACK.read(b'{"kind": "complaint", "text": "torn"}', NOW, "api")
    value = Arrival("feedback", NOW, SEALS).receive(read).record.value
    assert msgspec.json.decode(value, type=FeedbackReceived).text == "torn"


def test_members_of_the_same_name_within_attributes_are_not_taken_for_what_was_said() -> None:
    told = event(customer={"id": "C-1"}, subject="a", text="b", attributes={"subject": "a", "text": "b"})
    assert (told.subject, told.text, told.attributes) == ("a", "b", {"subject": "a", "text": "b"})
    rating = {"metric": "csat", "score": 1, "scale_min": 1, "scale_max": 5}
    named = {"attributes": {"kind": "k", "text": "b"}, "customer": {"name": "王"}, "rating": rating}
    told = event(kind="survey", text="", **named)
    assert (told.text, told.customer.personal, told.attributes["text"]) == ("", Personal(name="王"), "b")
    alike = '","customer":{"personal":{"name":"x"}},"text":"'
    told = event(customer={"id": "C-1", "name": alike, "region": alike}, subject=alike, text=alike)
    assert (told.subject, told.text, told.customer.region) == (alike, alike, alike)
    assert told.customer.personal == Personal(name=alike)


def said_as(kind: type[Struct], given: Struct | UnsetType, **changed: Any) -> Any:
    """The part of an event that says the same, field by field."""
    if given is UNSET:
        return None
    names = set(kind.__struct_fields__) & set(given.__struct_fields__)
    return kind(**{name: getattr(given, name) for name in names} | changed)


LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
FIRST, LAST = datetime(1990, 1, 2), datetime(2026, 3, 1, 1)  # noqa: DTZ001 - the zones are drawn
MOMENTS = st.datetimes(FIRST, LAST, timezones=st.timezones()) | st.just(NOW + timedelta(minutes=4))
CUSTOMERS = st.builds(CustomerInput, **dict.fromkeys(CustomerInput.__struct_fields__, LINES))
PRODUCTS = st.builds(ProductInput, **dict.fromkeys(ProductInput.__struct_fields__, LINES))
RATINGS = st.builds(
    RatingInput,
    metric=st.sampled_from(["csat", "ces"]),
    score=st.integers(1, 5) | st.floats(1, 5),
    scale_min=st.just(1),
    scale_max=st.just(5),
)
ATTRIBUTES = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True),
    LINES
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    max_size=4,
)
WHERE = {
    "source": LINES, "external_id": LINES, "customer": CUSTOMERS, "product": PRODUCTS,
    "attributes": ATTRIBUTES, "supplier_id": LINES, "occurred_at": st.just(UNSET) | MOMENTS,
}  # fmt: skip
WHAT = {
    "subject": LINES, "text": LINES.map(lambda text: f"{text}.\n"), "order_id": LINES, "category": LINES,
    "channel": st.sampled_from(["api", "web"]), "language": st.sampled_from(["", "zh", "other"]),
    "severity": st.sampled_from(["", "low"]), "urgency": st.sampled_from(["", "high"]),
    "touchpoint": st.sampled_from(["", "use"]), "rating": st.just(UNSET) | RATINGS,
}  # fmt: skip


def expected(kind: type[Any], said: FeedbackInput | ActivityInput, got: Any, **added: Any) -> Any:
    """The event as its contract has it, made without any JSON."""
    known = any((said.customer.name, said.customer.phone, said.customer.email))
    happened = NOW if said.occurred_at is UNSET else min(said.occurred_at.astimezone(UTC), NOW)
    return said_as(
        kind, said, id=got.id, received_at=NOW, fingerprint=got.fingerprint, source=said.source or "api",
        sealed=place_of(said.customer.id.encode() or str(got.id).encode()) if got.sealed else b"",
        occurred_at=happened, product=said_as(Product, said.product),
        customer=said_as(
            Customer, said.customer, personal=said_as(Personal, said.customer) if known else None
        ),
        **added,
    )  # fmt: skip


def assert_each_name_once(kind: type[Struct], value: bytes) -> None:
    names = [name for name, _ in json.loads(value, object_pairs_hook=list)]
    assert len(names) == len(set(names)) and set(names) <= set(kind.__struct_fields__)


@settings(deadline=None, max_examples=200)
@given(st.builds(FeedbackInput, kind=st.sampled_from(["complaint", "survey"]), **WHERE, **WHAT))
def test_what_is_written_is_the_contract_of_a_feedback(said: FeedbackInput) -> None:
    read = FEEDBACK.read(msgspec.json.encode(said), NOW, "api")
    value = Arrival("feedback", NOW, SEALS).receive(read).record.value
    got = opened(value, FeedbackReceived)
    language = said.language or language_of(said.text, said.subject)
    assert got == expected(
        FeedbackReceived, said, got, language=language, rating=said_as(Rating, said.rating)
    )
    assert_each_name_once(FeedbackReceived, value)


@settings(deadline=None, max_examples=50)
@given(
    st.builds(
        ActivityInput,
        kind=st.sampled_from(["order", "churn"]),
        department=LINES,
        quantity=st.integers(1, 10**9),
        **WHERE,
    )
)
def test_what_is_written_is_the_contract_of_an_activity(said: ActivityInput) -> None:
    read = ACTIVITY.read(msgspec.json.encode(said), NOW, "api")
    value = Arrival("activity", NOW, SEALS).receive(read).record.value
    got = opened(value, ActivityRecorded)
    assert got == expected(ActivityRecorded, said, got)
    assert_each_name_once(ActivityRecorded, value)
