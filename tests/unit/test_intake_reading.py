"""What intake takes and what it refuses: every bad input has its place, and no answer repeats a value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.domain import diagnosis
from services.intake.domain.inputs import ActivityInput, FeedbackInput, Refused
from services.intake.domain.reading import Form

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
FEEDBACK, ACTIVITY = Form(FeedbackInput), Form(ActivityInput)
SECRET = "s3cret-value"
NPS = {"metric": "nps", "score": 9, "scale_min": 0, "scale_max": 10}
CSAT = {"metric": "csat", "score": 4, "scale_min": 1, "scale_max": 5}


def read(raw: bytes | str | dict[str, Any]) -> FeedbackInput:
    body = json.dumps(raw).encode() if isinstance(raw, dict) else raw
    return FEEDBACK.read(body.encode() if isinstance(body, str) else body, NOW).signal


def refusal(raw: bytes | str | dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        read(raw)
    return caught.value


def places(refused: Refused) -> set[str]:
    return {"".join(f"/{part}" for part in flaw.path) for flaw in refused.flaws}


def said(**fields: Any) -> dict[str, Any]:
    return {"kind": "complaint", "text": "broken"} | fields


def with_member(member: str) -> str:
    return '{"kind":"complaint","text":"broken",' + member + "}"


NOT_JSON = {
    "nothing": b"",
    "only blanks": b" \n",
    "cut off": b'{"kind":"compl',
    "bytes after the end": b'{"kind":"complaint","text":"x"} x',
    "two documents": b'{"kind":"complaint","text":"x"}{}',
    "a byte order mark": b'\xef\xbb\xbf{"kind":"complaint","text":"x"}',
    "UTF-16 with its mark": '{"kind":"complaint","text":"x"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"kind":"complaint","text":"x"}'.encode("utf-16-le"),
    "GBK": '{"kind":"complaint","text":"箱子坏了"}'.encode("gbk"),
    "a byte that UTF-8 does not have": b'{"kind":"complaint","text":"\xff"}',
    "a surrogate in UTF-8": b'{"kind":"complaint","text":"\xed\xa0\x80"}',
    "an overlong slash": b'{"kind":"complaint","text":"\xc0\xaf"}',
    "a raw NUL": b'{"kind":"complaint","text":"\x00"}',
    "a raw line break in a string": b'{"kind":"complaint","text":"a\nb"}',
    "single quotes": b"{'kind':'complaint'}",
    "a trailing comma": b'{"kind":"complaint","text":"x",}',
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand objects": b'{"a":' * 100_000,
}

WRONG_PLACES: dict[str, tuple[str | dict[str, Any], set[str]]] = {
    "an array": ("[]", {""}),
    "null": ("null", {""}),
    "a number too large for any": ("1e999", {""}),
    "nothing said": ({"kind": "complaint"}, {"/text"}),
    "only blanks said": (said(text=" \n", subject=""), {"/text"}),
    "no kind": ({"text": "x"}, {"/kind"}),
    "an unknown kind": (said(kind=SECRET), {"/kind"}),
    "kind of another case": (said(kind="Complaint"), {"/kind"}),
    "an unknown channel": (said(channel=SECRET), {"/channel"}),
    "a number as text": (said(text=1), {"/text"}),
    "null as text": (said(subject=None), {"/subject"}),
    "a list as a customer": (said(customer=[]), {"/customer"}),
    "null as a customer": (said(customer=None), {"/customer"}),
    "a number as the customer's id": (said(customer={"id": 9}), {"/customer/id"}),
    "an unknown field": (said(colour=SECRET), {"/colour"}),
    "a field of a customer that is unknown": (said(customer={"vip": True}), {"/customer/vip"}),
    "fields that a sender must not set": (
        said(id="x", owner="x", status="closed", version=3, received_at="2026-01-01T00:00:00Z"),
        {"/id", "/owner", "/status", "/version", "/received_at"},
    ),
    "a query as a value": (said(text={"$ne": None}), {"/text"}),
    "a query as a part": (said(customer={"$ne": None}), {"/customer/$ne"}),
    "a query as a name": (said(**{"$where": "1"}), {"/$where"}),
    "a dotted name": (said(**{"a.b": "1"}), {"/a.b"}),
    "an empty name": (said(**{"": "1"}), {"/"}),
    "a prototype": (said(__proto__={}), {"/__proto__"}),
    "a name that is no name": (said(**{"<script>" + SECRET: 1}), {""}),
    "a name of a thousand letters": (said(**{"x" * 1000: 1}), {""}),
    "attributes: a query": (said(attributes={"$gt": 1}), {"/attributes/$gt"}),
    "attributes: a dot": (said(attributes={"a.b": 1}), {"/attributes/a.b"}),
    "attributes: a prototype": (said(attributes={"__proto__": 1}), {"/attributes/__proto__"}),
    "attributes: an empty name": (said(attributes={"": 1}), {"/attributes/"}),
    "attributes: null": (said(attributes={"a": None}), {"/attributes/a"}),
    "attributes: a part": (said(attributes={"a": {"$ne": None}}), {"/attributes/a"}),
    "attributes: forty levels": (
        with_member('"attributes":{"a":' + "[" * 40 + "]" * 40 + "}"),
        {"/attributes/a"},
    ),
    "attributes: fifty-one": (said(attributes={f"a{n}": n for n in range(51)}), {"/attributes"}),
    "attributes: text too long": (said(attributes={"a": "x" * 1001}), {"/attributes/a"}),
    "attributes: 2^63": (with_member('"attributes":{"a":9223372036854775808}'), {"/attributes/a"}),
    "attributes: 5,000 digits": (with_member('"attributes":{"a":' + "9" * 5000 + "}"), {"/attributes/a"}),
    "attributes: 1e999": (with_member('"attributes":{"a":1e999}'), {"/attributes/a"}),
    "attributes: NaN": (with_member('"attributes":{"a":NaN}'), {"/attributes/a"}),
    "attributes: NUL": (with_member('"attributes":{"a":"\\u0000"}'), {"/attributes/a"}),
    "attributes: a name twice": (with_member('"attributes":{"a":1,"a":1}'), {"/attributes/a"}),
    "NaN": (with_member('"rating":NaN'), {"/rating"}),
    "minus infinity": (with_member('"rating":{"metric":"nps","score":-Infinity}'), {
        "/rating/score", "/rating/scale_min", "/rating/scale_max",
    }),
    "half of a pair": ('{"kind":"complaint","text":"\\ud800"}', {"/text"}),
    "the other half": ('{"kind":"complaint","text":"\\udc00 x"}', {"/text"}),
    "NUL in the text": ('{"kind":"complaint","text":"a\\u0000b"}', {"/text"}),
    "NUL in an id": (said(external_id="a\0b"), {"/external_id"}),
    "a line break in an id": (said(customer={"id": "a\r\nb"}), {"/customer/id"}),
    "a delete in a name": (said(customer={"name": "a\x7fb"}), {"/customer/name"}),
    "a name twice": (with_member('"text":"again"'), {"/text"}),
    "a name twice, once escaped": (with_member('"\\u0074ext":"again"'), {"/text"}),
    "a name twice, with blanks": (with_member('"kind"  :  "call"'), {"/kind"}),
    "a name twice behind an escaped quote": (
        '{"kind":"call","kind":"call","text":"\\u0022\\u0022\\u0022\\u0022"}', {"/kind"},
    ),
    "a name twice in a part": (with_member('"customer":{"id":"a","id":"b"}'), {"/customer/id"}),
    "a name twice, the last a default": (with_member('"order_id":"a","order_id":""'), {"/order_id"}),
    "a text of a megabyte": (said(text="x" * 1_000_000), {"/text"}),
    "a subject too long": (said(subject="x" * 501), {"/subject"}),
    "an id too long": (said(external_id="x" * 201), {"/external_id"}),
    "a time without a zone": (said(occurred_at="2026-03-02T09:00:00"), {"/occurred_at"}),
    "a date": (said(occurred_at="2026-03-02"), {"/occurred_at"}),
    "a time as a number": (said(occurred_at=1772413200), {"/occurred_at"}),
    "year 0": (said(occurred_at="0000-01-01T00:00:00Z"), {"/occurred_at"}),
    "year 1": (said(occurred_at="0001-01-01T00:00:00+14:00"), {"/occurred_at"}),
    "year 1989": (said(occurred_at="1989-12-31T23:59:59Z"), {"/occurred_at"}),
    "year 9999": (said(occurred_at="9999-12-31T23:59:59-12:00"), {"/occurred_at"}),
    "six minutes ahead": (said(occurred_at=(NOW + timedelta(minutes=6)).isoformat()), {"/occurred_at"}),
    "a score off its scale": (said(rating=CSAT | {"score": 6}), {"/rating/score"}),
    "a score as text": (said(rating=CSAT | {"score": "4"}), {"/rating/score"}),
    "a score that is true": (said(rating=CSAT | {"score": True}), {"/rating/score"}),
    "a score of 2^70": (said(rating=CSAT | {"score": 2**70}), {"/rating/score"}),
    "a scale upside down": (said(rating=CSAT | {"scale_min": 5, "scale_max": 1}), {"/rating/scale_max"}),
    "a scale of no width": (said(rating=CSAT | {"scale_min": 4, "scale_max": 4}), {"/rating/scale_max"}),
    "a scale without end": (said(rating=CSAT | {"scale_max": 10**6}), {"/rating/scale_max"}),
    "an unknown metric": (said(rating=CSAT | {"metric": SECRET}), {"/rating/metric"}),
    "NPS on 1 to 5": (
        said(rating=NPS | {"scale_min": 1, "scale_max": 5, "score": 4}),
        {"/rating/scale_min", "/rating/scale_max"},
    ),
    "NPS of 11": (said(rating=NPS | {"score": 11}), {"/rating/score"}),
    "NPS of 8.5": (said(rating=NPS | {"score": 8.5}), {"/rating/score"}),
    "several at once": (
        said(kind=SECRET, text=7, owner=SECRET, rating=NPS | {"score": 11}, customer={"id": "\n"}),
        {"/kind", "/text", "/owner", "/rating/score", "/customer/id"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    refused = refusal(raw)
    assert refused.malformed and places(refused) == {""}


@pytest.mark.parametrize(("raw", "where"), WRONG_PLACES.values(), ids=WRONG_PLACES.keys())
def test_a_wrong_field_is_named(raw: str | dict[str, Any], where: set[str]) -> None:
    refused = refusal(raw)
    assert not refused.malformed
    assert places(refused) == where
    assert SECRET not in str(refused.flaws)


GOOD: dict[str, str | dict[str, Any]] = {
    "the least": said(),
    "a rating alone": {"kind": "survey", "rating": NPS},
    "a subject alone": {"kind": "ticket", "subject": "x"},
    "an empty string is not given": said(language="", severity="", urgency="", touchpoint="", order_id=""),
    "defaults spelt out": said(channel="api", customer={}, product={}, attributes={}),
    "right to left, zero width, emoji": said(text="שלום \u202eabc\u202c a\u200bb 👩‍👩‍👧 𝄞"),
    "an emoji as an escaped pair": '{"kind":"complaint","text":"\\ud83d\\ude00"}',
    "an escaped backslash before u0000": '{"kind":"complaint","text":"\\\\u0000"}',
    "quotes and colons in the text": said(text='he said: "no": and "no":'),
    "an escaped quote": '{"kind":"complaint","text":"\\u0022:"}',
    "line breaks and tabs in prose": said(text="a\r\n\tb", subject="a\nb"),
    "blanks and line breaks around": ' {\r\n "kind" : "complaint" ,\n\t"text": "x" }\n',
    "the largest integers": said(attributes={"a": 2**63 - 1, "b": -(2**63), "c": 1e308, "d": True}),
    "five minutes ahead": said(occurred_at=(NOW + timedelta(minutes=5)).isoformat()),
    "1990": said(occurred_at="1990-01-01T00:00:00Z"),
    "the longest text": said(text="字" * 20_000),
    "fifty attributes": said(attributes={f"a{n}": n for n in range(50)}),
    "a zh name": said(customer={"name": "王 小明", "region": "上海\u3000浦东"}),
}


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD.keys())
def test_what_is_allowed_is_taken(raw: str | dict[str, Any]) -> None:
    assert read(raw).kind


def test_the_whole_feedback_of_the_interface_is_taken() -> None:
    whole = {
        "source": "shop-cn", "external_id": "R-20260302-17", "kind": "complaint", "channel": "web",
        "occurred_at": "2026-03-02T09:00:00+08:00", "language": "zh", "subject": "坏了", "text": "箱子坏了",
        "customer": {"id": "C-9", "tier": "gold", "region": "Shanghai", "name": "王"},
        "product": {"sku": "A1", "model": "M2", "batch": "B3"}, "order_id": "O-1", "supplier_id": "S-1",
        "touchpoint": "delivery", "category": "logistics.damage", "severity": "high", "urgency": "high",
        "rating": {"metric": "nps", "score": 3, "scale_min": 0, "scale_max": 10},
        "attributes": {"store": "SH-01"},
    }  # fmt: skip
    for ascii_only in (True, False):
        read_back = read(json.dumps(whole, ensure_ascii=ascii_only))
        assert (read_back.text, read_back.customer.name) == ("箱子坏了", "王")


def test_a_hundred_thousand_attributes_are_counted_and_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, leaf = [], diagnosis.leaf
    monkeypatch.setattr(diagnosis, "leaf", lambda *what: looks.append(what) or leaf(*what))  # type: ignore[func-returns-value]
    refused = refusal(said(attributes={f"a{n}": n for n in range(100_000)}))
    assert (places(refused), len(refused.flaws)) == ({"/attributes"}, 1)
    assert len(looks) < 10


def test_at_most_twenty_flaws_are_told() -> None:
    assert len(refusal(said(**{f"x{n}": n for n in range(100)})).flaws) == 20


def test_a_limit_is_told_as_a_number() -> None:
    assert refusal(said(text="x" * 20_001)).flaws[0].limit == 20_000


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"kind": "order", "quantity": 0}, "/quantity"),
        ({"kind": "order", "quantity": 1.5}, "/quantity"),
        ({"kind": "order", "quantity": 2**63}, "/quantity"),
        ({"kind": "complaint"}, "/kind"),
        ({"kind": "order", "text": "x"}, "/text"),
        ({"kind": "order", "department": "a\tb"}, "/department"),
    ],
)
def test_an_activity_is_checked_like_a_feedback(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(Refused) as caught:
        ACTIVITY.read(json.dumps(fields).encode(), NOW)
    assert places(caught.value) == {where}


NAMES = st.sampled_from([*FeedbackInput.__struct_fields__, "owner", "$ne", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, VALUES) | VALUES)
def test_any_json_is_taken_or_refused_with_a_reason_of_its_own(value: Any) -> None:
    try:
        assert read(json.dumps(value))
    except Refused as refused:
        assert all(flaw.message != "does not fit the schema" for flaw in refused.flaws)
        assert len(refused.flaws) <= 20


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        read(raw)


TEXTS = st.text(alphabet='a":,\\\n字{}u0', max_size=12)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.booleans(), st.booleans())
def test_a_name_that_stands_twice_is_found_behind_any_text(
    a: str, b: str, escaped: bool, blank: bool
) -> None:
    once = {"kind": "complaint", "subject": "s" + a, "text": "t" + b}
    body = json.dumps(once, ensure_ascii=escaped, separators=(",", " : " if blank else ":"))
    assert read(body).text == "t" + b
    assert places(refusal('{"kind":"complaint",' + body[1:])) == {"/kind"}


PARTS: dict[str, st.SearchStrategy[Any]] = {
    "external_id": TEXTS.filter(lambda text: "\n" not in text),
    "occurred_at": st.sampled_from(
        ["2026-03-01T09:00:00+08:00", "2026-03-01T01:00:00.5Z", "2026-03-01T01:00:00Z"]
    ),
    "customer": st.sampled_from([{"id": "C"}, {"id": "C", "name": "王", "phone": "1"}, {"email": "a@b"}, {}]),
    "product": st.sampled_from([{"sku": "A"}, {}]),
    "rating": st.sampled_from([CSAT, CSAT | {"score": 4.5}, NPS | {"score": 9.0}]),
    "order_id": st.sampled_from(["", "O"]),
    "attributes": st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([0, 1000.0, 1e16, 0.00001, True, "", 'x"', "\\"]),
        max_size=3,
    ),
}
SOURCES = st.sampled_from(["", "api", 'a"b\\'])
SHORTER = {"1000.0": "1e3", "1e+16": "1e16", "1e-05": "1e-5", "4.5": "45e-1"}
"""Numbers as a sender may write them."""


def written(
    value: dict[str, Any], repeated: tuple[str, ...], member: str, separators: tuple[str, str]
) -> str:
    """An object with `member` a second time in the part that `repeated` is the path of."""
    body = []
    for name, content in value.items():
        inner = isinstance(content, dict) and repeated[:1] == (name,)
        text = (
            written(content, repeated[1:], member, separators)
            if inner
            else json.dumps(content, ensure_ascii=False, separators=separators)
        )
        body.append(f'"{name}"{separators[1]}{SHORTER.get(text, text)}')
    if not repeated and member:
        body.append(member)
    return "{" + separators[0].join(body) + "}"


@settings(max_examples=300, deadline=None)
@given(st.data(), st.fixed_dictionaries({}, optional=PARTS), st.booleans(), SOURCES)
def test_a_name_that_stands_twice_is_found_however_short_the_body(
    data: st.DataObject, parts: dict[str, Any], blanks: bool, source: str
) -> None:
    once = {"kind": "complaint", "text": "x"} | parts
    places = [(), *((name,) for name, content in parts.items() if isinstance(content, dict) and content)]
    where = data.draw(st.sampled_from(places))
    part = once[where[0]] if where else once
    name = data.draw(st.sampled_from(sorted(part)))
    member = json.dumps({name: part[name]}, ensure_ascii=False, separators=(",", ":"))[1:-1]
    for digits, shorter in SHORTER.items():
        member = member.replace(f":{digits}", f":{shorter}")
    separators = (", ", ": ") if blanks else (",", ":")
    FEEDBACK.read(written(once, (), "", separators).encode(), NOW, source)
    with pytest.raises(Refused) as caught:
        FEEDBACK.read(written(once, where, member, separators).encode(), NOW, source)
    assert [flaw.message for flaw in caught.value.flaws] == ["stands more than once"]
