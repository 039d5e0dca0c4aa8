"""One codec writes and reads our records, and says what is wrong with a record without repeating it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import Outgoing, decode, encode
from shared.errors import LaterVersion, PermanentError
from shared.events import ActivityRecorded, Customer, FeedbackReceived, Personal
from shared.topics import MAX_RECORD_BYTES

AT = datetime(2026, 3, 2, 1, 0, 0, 125_000, tzinfo=UTC)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ID = UUID("0190a000-0000-7000-8000-000000000001")
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", str(ID).encode()),
    ("ce_type", b"cqm.feedback.received.v1"),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def feedback(**given: Any) -> FeedbackReceived:
    fields: dict[str, Any] = {"id": ID, "source": "s", "kind": "call", "occurred_at": AT, "received_at": AT}
    return FeedbackReceived(**fields | given)


def told(event: FeedbackReceived, **given: Any) -> Outgoing:
    how: dict[str, Any] = {"key": b"C-9", "source": "intake", "at": AT}
    return encode(event, **how | given)


def value(**changed: Any) -> bytes:
    said = msgspec.to_builtins(feedback())
    return msgspec.json.encode(said | changed)


def reason(content: bytes | None, headers: Any = HEADERS) -> tuple[str, str]:
    with pytest.raises(PermanentError) as refused:
        decode(content, headers)
    return refused.value.reason, refused.value.detail


def test_a_record_carries_the_attributes_as_headers_and_the_event_as_its_value() -> None:
    record = told(feedback(), traceparent=TRACE)
    assert (record.topic, record.key) == ("cqm.feedback.v1", b"C-9")
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": str(ID).encode(),
        "ce_source": b"/cqm/intake",
        "ce_type": b"cqm.feedback.received.v1",
        "ce_time": b"2026-03-02T01:00:00.125000Z",
        "content-type": b"application/json",
        "traceparent": TRACE,
    }
    assert decode(record.value, record.headers) == (feedback(), TRACE)


def test_what_is_at_its_default_is_absent() -> None:
    said = msgspec.json.decode(told(feedback()).value)
    assert said.keys() - {"customer", "product"} == {"id", "source", "kind", "occurred_at", "received_at"}
    assert said["customer"] == said["product"] == {}


def test_chinese_is_written_as_it_is() -> None:
    assert "箱子压坏了".encode() in told(feedback(text="箱子压坏了")).value


@given(
    text=TEXT,
    name=TEXT,
    attributes=st.dictionaries(
        TEXT,
        TEXT | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
        max_size=5,
    ),
    at=st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_an_event_survives_the_way(text: str, name: str, attributes: dict[str, Any], at: datetime) -> None:
    event = feedback(
        text=text,
        customer=Customer(id="C-9", personal=Personal(name=name)),
        attributes=attributes,
        occurred_at=at,
        received_at=at,
    )
    record = told(event, at=at)
    assert decode(record.value, record.headers) == (event, b"")


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    east = AT.astimezone(timezone(timedelta(hours=8)))
    event, _ = decode(value(occurred_at=east.isoformat()), HEADERS)
    assert isinstance(event, FeedbackReceived)
    assert event.occurred_at == AT


def test_the_size_of_a_record_is_not_underestimated() -> None:
    record = told(feedback(text="x" * 500))
    content = len(record.value) + len(record.key) + sum(len(n) + len(v) for n, v in record.headers)
    assert content < record.size < content + 200


def test_an_event_over_the_limit_is_refused_by_name_of_the_limit() -> None:
    with pytest.raises(PermanentError, match=str(MAX_RECORD_BYTES)) as refused:
        told(feedback(text="x" * MAX_RECORD_BYTES))
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], "missing_attribute"),
        ([HEADERS[0], HEADERS[2]], "missing_attribute"),
        ([HEADERS[0], HEADERS[1]], "missing_attribute"),
        ([HEADERS[0], ("ce_id", b""), HEADERS[2]], "missing_attribute"),
        ([HEADERS[0], ("ce_id", None), HEADERS[2]], "missing_attribute"),
        ([*HEADERS, HEADERS[1]], "duplicate_attribute"),
        ([*HEADERS, ("ce_id", b"another")], "duplicate_attribute"),
        (HEADERS[1:], "unsupported_specversion"),
        ([("ce_specversion", b"0.3"), *HEADERS[1:]], "unsupported_specversion"),
        ([*HEADERS[:2], ("ce_type", b"cqm.feedback.received.v2")], "unknown_type"),
        ([*HEADERS[:2], ("ce_type", b"x.feedback.received.v2")], "unknown_type"),
        ([*HEADERS[:2], ("ce_type", b"\xff\xfe")], "unknown_type"),
    ],
)
def test_headers_that_are_not_ours_are_refused_with_their_reason(headers: Any, expected: str) -> None:
    assert reason(value(), headers)[0] == expected


@pytest.mark.parametrize(("kind", "later"), [(b"cqm.feedback.noticed.v1", True), (b"x.feedback.v1", False)])
def test_a_type_of_ours_that_is_not_known_is_of_a_later_version(kind: bytes, later: bool) -> None:
    with pytest.raises(PermanentError) as refused:
        decode(b"{", [*HEADERS[:2], ("ce_type", kind)])
    assert isinstance(refused.value, LaterVersion) is later


def test_other_headers_are_no_concern_of_ours() -> None:
    others = [("x", None), ("ce_partitionkey", b"\xff"), ("traceparent", TRACE), ("", b"")]
    assert decode(value(), [*others, *HEADERS]) == (feedback(), TRACE)


def test_a_record_without_a_value_is_refused() -> None:
    assert reason(None) == ("no_value", "the record has no value")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"NaN",
        b'{"id": 1}',
        b"\xef\xbb\xbf" + value(),
        value().decode().encode("utf-16"),
        value() + b"x",
        value(kind="no such kind"),
        value(id="not a uuid"),
        value(occurred_at="2026-03-02"),
        value(occurred_at=1_772_413_200),
        value(rating={"metric": "nps", "score": "9", "scale_min": 0, "scale_max": 10}),
        value(attributes={"a": {"b": 1}}),
        value(text=None),
        value().replace(b'"s"', b'"\xff"'),
        value().replace(b'"s"', b'"\\ud800"'),
        value().replace(b'"s"', b"1e999"),
        value(attributes={"deep": 0}).replace(b'"deep":0', b'"deep":' + b"[" * 100_000),
    ],
    ids=lambda content: repr(content[:24]),
)
def test_a_value_that_is_not_the_contract_is_invalid(content: bytes) -> None:
    assert reason(content)[0] == "invalid"


@pytest.mark.parametrize("field", ["id", "kind", "occurred_at", "attributes"])
def test_the_reason_names_the_field_and_never_the_value(field: str) -> None:
    _, detail = reason(value(**{field: "secret"}))
    assert f"$.{field}" in detail
    assert "secret" not in detail


def test_a_value_cannot_pass_itself_off_as_the_path() -> None:
    _, detail = reason(value(kind="x - at `secret`"))
    assert "$.kind" in detail
    assert "secret" not in detail


def test_fields_that_are_not_known_are_ignored_at_every_depth() -> None:
    customer = {"id": "C-9", "loyalty": {"since": 2019}}
    event, _ = decode(value(later=[1, {"x": None}], customer=customer), HEADERS)
    assert event == feedback(customer=Customer(id="C-9"))


def test_a_type_reads_its_own_contract() -> None:
    headers = [*HEADERS[:2], ("ce_type", ActivityRecorded.type.encode())]
    event, _ = decode(value(kind="order"), headers)
    assert isinstance(event, ActivityRecorded)
    assert reason(value(kind="call"), headers)[0] == "invalid"


def test_a_time_without_a_zone_is_not_the_contract() -> None:
    """It would stop a partition: a decision that compares it with an aware time fails as a bug does."""
    assert reason(value(occurred_at="2026-03-02T01:00:00"))[0] == "invalid"
