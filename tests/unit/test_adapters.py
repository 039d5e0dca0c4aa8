"""Adapters: the payload of a foreign system in, the body of a feedback or an activity out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters import MAX_SIGNALS, Adapter, Mapped, load_adapters
from services.intake.adapters.paths import MAX_LENGTH, Found, PathError
from services.intake.adapters.paths import Path as JSONPath
from services.intake.api.signals import ACTIVITY, FEEDBACK, Receiver
from services.intake.domain.inputs import Flaw, Refused
from services.intake.domain.payload import read_payload
from services.intake.domain.signals import Sender
from services.intake.settings import ADAPTERS
from shared.errors import SetupError
from tests.support.seals import SEALS
from tests.support.signing import SECRETS

BASE = """source: shop
scheme: standard
secret: {env: HOOK}
when: attributes.event != 'ping'
set: {kind: survey, rating.metric: csat, rating.scale_min: 1, rating.scale_max: 5}
fields:
  attributes.event: $.event
  attributes.amount: $.amount
  rating.score: $.answers[?@.ref == 'stars'].value
  text: $.answers[?@.ref == 'why'].value
  occurred_at: {path: $.at, format: unix}
  channel: {path: $.how, map: {W: web}}
  severity: {path: $.level, map: {"3": critical}, default: ""}
  customer.id: $.customer.id
  order_id: $.order
"""
PAYLOAD: dict[str, Any] = {
    "event": "answered", "amount": 12.5, "at": 1772413200, "how": "W", "level": 3,
    "order": 820982911946154508,
    "customer": {"id": "C-9"},
    "answers": [
        {"ref": "why", "value": "太慢"}, {"ref": "stars", "value": "2"}, {"ref": "why", "value": "x"},
    ],
}  # fmt: skip
BODY = {
    "source": "shop", "external_id": "msg_1", "kind": "survey", "text": "太慢", "channel": "web",
    "rating": {"metric": "csat", "scale_min": 1, "scale_max": 5, "score": 2}, "severity": "critical",
    "occurred_at": "2026-03-02T01:00:00+00:00", "order_id": "820982911946154508",
    "customer": {"id": "C-9"}, "attributes": {"event": "answered", "amount": 12.5},
}  # fmt: skip
LISTED = (
    ("fields:\n", "each: $.answers\nfields:\n"),
    ("text: $.answers[?@.ref == 'why'].value", 'text: "@.value"'),
    ("  rating.score: $.answers[?@.ref == 'stars'].value\n", ""),
)
SIGNALS = {signal.name: signal for signal in (FEEDBACK, ACTIVITY)}
NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
Make = Callable[..., Adapter]


@pytest.fixture
def adapter(tmp_path: Path) -> Make:
    def of(*changes: tuple[str, str]) -> Adapter:
        text = BASE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "shop.yaml").write_text(text, encoding="utf-8")
        return load_adapters(tmp_path, {})["shop"].adapter

    return of


def bodies(adapter: Adapter, payload: Any) -> list[dict[str, Any] | None]:
    mapped = [adapter.mapped(payload, element, "msg_1") for element in adapter.elements(payload)]
    return [one and one.body for one in mapped]


def flaws(adapter: Adapter, payload: Any) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        bodies(adapter, payload)
    return [("/".join(flaw.path), flaw.message) for flaw in caught.value.flaws]


# --- a payload ---------------------------------------------------------------------------------------


def test_a_payload_becomes_the_body_of_a_feedback(adapter: Make) -> None:
    assert bodies(adapter(), PAYLOAD) == [BODY]


def test_what_is_null_empty_or_missing_was_not_given(adapter: Make) -> None:
    empty = dict.fromkeys(PAYLOAD, None) | {"how": "", "customer": {}}
    assert bodies(adapter(), empty) == [{"source": "shop", "external_id": "msg_1", "kind": "survey"}]
    assert bodies(adapter(), {}) == bodies(adapter(), empty)
    assert bodies(adapter(), [1]) == bodies(adapter(), empty)


def test_a_map_takes_numbers_and_truths_as_their_text(adapter: Make) -> None:
    made = adapter(('map: {"3": critical}', 'map: {"true": low, "3": critical}'))
    (body,) = bodies(made, PAYLOAD | {"level": True})
    assert body is not None and body["severity"] == "low"


def test_a_payload_that_the_condition_leaves_out_is_no_signal_even_when_it_would_not_fit(
    adapter: Make,
) -> None:
    assert bodies(adapter(), {"event": "ping", "how": "unknown", "at": {}}) == [None]


def test_a_condition_may_compare_numbers_and_does_not_hold_without_them(adapter: Make) -> None:
    made = adapter(("attributes.event != 'ping'", "rating.score <= 2"))
    assert bodies(made, PAYLOAD) == [BODY]
    assert bodies(made, {}) == [None]


@pytest.mark.parametrize(
    ("changed", "place", "reason"),
    [
        ({"at": "yesterday"}, "at", "occurred_at: is not a time"),
        ({"at": 1e300}, "at", "occurred_at: is not a time"),
        ({"how": "secret"}, "how", "channel: is not in the map"),
        ({"order": {"id": "secret"}}, "order", "order_id: must be text or a number, not an object"),
        ({"order": ["secret"]}, "order", "order_id: must be text or a number, not a list"),
        ({"customer": {"id": "\ud800"}}, "customer/id", "customer.id: contains half of a surrogate pair"),
        (
            {"answers": [{"ref": "stars", "value": "many"}]},
            "answers/0/value",
            "rating.score: is not a number",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_place_and_never_repeated(
    adapter: Make, changed: dict[str, Any], place: str, reason: str
) -> None:
    (found,) = flaws(adapter(), PAYLOAD | changed)
    assert found[0] == place and found[1].startswith(reason)
    assert "secret" not in found[1] and "yesterday" not in found[1]


def test_all_that_is_wrong_is_told_at_once(adapter: Make) -> None:
    assert [place for place, _ in flaws(adapter(), PAYLOAD | {"at": "x", "how": "x"})] == ["at", "how"]


def test_what_intake_finds_wrong_is_told_at_the_place_in_the_payload() -> None:
    mapped = Mapped({}, {"customer.id": ("who", "id"), "text": ("message",), "rating.score": ("stars",)})
    assert mapped.at_its_place(Flaw(("customer", "id"), "too long", 200)) == Flaw(
        ("who", "id"), "customer.id: too long", 200
    )
    assert mapped.at_its_place(Flaw(("rating", "metric"), "is required")) == Flaw(
        (), "rating.metric: is required"
    )


# --- a list ------------------------------------------------------------------------------------------


def test_each_element_of_a_list_is_a_signal_with_its_place_in_its_identity(adapter: Make) -> None:
    made = bodies(adapter(*LISTED), PAYLOAD)
    assert [(body["external_id"], body["text"]) for body in made if body] == [
        ("msg_1/0", "太慢"), ("msg_1/1", "2"), ("msg_1/2", "x"),
    ]  # fmt: skip
    assert all(body and body["order_id"] == BODY["order_id"] for body in made)


def test_an_identity_of_the_payload_does_not_change_with_the_order_of_a_list(adapter: Make) -> None:
    made = adapter(*LISTED, ("set:", 'identity: ["@.ref", "@.value"]\nset:'))
    assert [body and body["external_id"] for body in bodies(made, PAYLOAD)] == [
        "why/太慢",
        "stars/2",
        "why/x",
    ]


def test_parts_of_an_identity_do_not_run_into_each_other(adapter: Make) -> None:
    made = adapter(("set:", "identity: [$.a, $.b]\nset:"))
    ids = {bodies(made, {"a": a, "b": b})[0]["external_id"] for a, b in (("1/2", "3"), ("1", "2/3"))}  # type: ignore[index]
    assert ids == {"1~12/3", "1/2~13"}


def test_an_identity_that_is_too_long_is_told_at_its_place(adapter: Make) -> None:
    (body,) = bodies(adapter(("set:", "identity: [$.customer.id]\nset:")), PAYLOAD)
    assert body is not None and body["external_id"] == "C-9"
    made = adapter(("set:", "identity: [$.customer.id]\nset:"))
    mapped = made.mapped(PAYLOAD, made.elements(PAYLOAD)[0], "msg_1")
    assert mapped is not None and mapped.places["external_id"] == ("customer", "id")


def test_a_signal_without_its_identity_is_refused(adapter: Make) -> None:
    made = adapter(("set:", "identity: [$.event, '$.answers[0].token']\nset:"))
    assert flaws(made, PAYLOAD) == [("answers/0/token", "identity: is missing")]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (None, "must be a list"),
        ({}, "must be a list"),
        ("text", "must be a list"),
        ([{}] * (MAX_SIGNALS + 1), f"has more than {MAX_SIGNALS} elements"),
    ],
    ids=["missing", "an object", "text", "too long"],
)
def test_a_list_that_is_none_or_too_long_is_refused(adapter: Make, answers: Any, reason: str) -> None:
    ((place, said),) = flaws(adapter(*LISTED), PAYLOAD | {"answers": answers})
    assert place == "answers" and said.startswith(reason)


def test_an_empty_list_is_no_signal(adapter: Make) -> None:
    assert bodies(adapter(*LISTED), PAYLOAD | {"answers": []}) == []


# --- adapter files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("text: $.answers", "txt: $.answers", 10, "unknown feedback field; did you mean text"),
        ("order_id: $.order", "external_id: $.order", 15, "unknown feedback field"),
        ("kind: survey, ", "", 6, "kind is required"),
        ("kind: survey", "kind: surveys", 5, "kind is one of complaint"),
        ("{W: web}", "{W: wep}", 12, "channel is one of"),
        ("format: unix", "format: '%H'", 11, "needs a zone"),
        ("format: unix", "format: '%d/%d/%Y', zone: UTC", 11, "redefinition of group name 'd'"),
        ("format: unix", "form: unix", 11, "unknown key"),
        ("path: $.how", "column: how", 12, "unknown key"),
        ("$.customer.id", "$.customer[", 14, "is no JSON path"),
        ("$.customer.id", "customer.id", 14, "is no JSON path"),
        ("$.customer.id", "$.a | $.b", 14, "is no JSON path"),
        ("$.customer.id", "$.a[?match(@.b, $.c)]", 14, "'match' is not defined"),
        ("$.customer.id", "$.a[?search(@.b, $.c)]", 14, "'search' is not defined"),
        ("$.customer.id", "$.a[?@.b =~ /(a+)+$/]", 14, "is no JSON path"),
        ("$.customer.id", "$" + "[?(" * 80, 14, "is no JSON path"),
        ("$.customer.id", "$" + ".a" * MAX_LENGTH, 14, "at most 500 characters"),
        ("$.customer.id", '"@.id"', 14, "element of each, which is not given"),
        ("set:", "each: '@.a'\nset:", 5, "begins with $"),
        ("set:", "each: $.answers\nidentity: [$.id]\nset:", 6, "the same identity"),
        ("set:", "identity: []\nset:", 5, "at least 1"),
        ("scheme: standard", "scheme: typeform", 2, "no id is signed in this scheme"),
        ("scheme: standard", "scheme: md5", 2, "scheme is one of standard, zendesk"),
        ("scheme: standard\n", "", 1, "is missing"),
        ("{env: HOOK}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 3, "valid dictionary"),
        ("{env: HOOK}", "{env: HOOK, file: /run/hook}", 3, "either env or file"),
        ("{env: HOOK}", "{}", 3, "either env or file"),
        ("{env: HOOK}", "{env: 'a b'}", 3, "match pattern"),
        ("attributes.event != 'ping'", "event != 'ping'", 4, "unknown field 'event'"),
        ("attributes.event != 'ping'", "text.matches('(a+)+$')", 4, "regular expressions"),
        ("attributes.event != 'ping'", "customer.name == 'x'", 4, "personal data"),
        ("attributes.event != 'ping'", "1 + 1", 4, "true or false"),
        ("source: shop", "signal: activity\nsource: shop", 6, "rating.metric"),
        ("source: shop", "source: [shop", 2, "not YAML"),
    ],
)
def test_a_wrong_adapter_is_refused_with_file_and_line(
    adapter: Make, old: str, new: str, line: int, reason: str
) -> None:
    with pytest.raises(SetupError) as caught:
        adapter((old, new))
    found = str(caught.value).splitlines()
    assert any(said.startswith(f"shop.yaml:{line}:") and reason in said for said in found), found


def test_a_secret_in_the_file_itself_is_not_repeated(adapter: Make) -> None:
    with pytest.raises(SetupError) as caught:
        adapter(("{env: HOOK}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    assert "MfKQ" not in str(caught.value)


def test_a_name_that_is_no_part_of_an_address_is_refused(tmp_path: Path) -> None:
    (tmp_path / "My Shop.yaml").write_text(BASE, encoding="utf-8")
    with pytest.raises(SetupError, match=r"My Shop\.yaml:1"):
        load_adapters(tmp_path, {})


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="CQM_ADAPTERS"):
        load_adapters(tmp_path / "no", {})


def test_an_adapter_without_a_usable_secret_is_there_and_shut_and_the_others_are_open(tmp_path: Path) -> None:
    secret, file = SECRETS["CQM_HOOK_GENERIC"], tmp_path / "secret"
    file.write_text(f"{secret}\n")
    references = {"a": "{env: A}", "b": "{env: B}", "c": f"{{file: {file}}}", "d": f"{{file: {tmp_path}/no}}"}
    for name, reference in references.items():
        (tmp_path / f"{name}.yaml").write_text(BASE.replace("{env: HOOK}", reference), encoding="utf-8")
    found = load_adapters(tmp_path, {"A": secret, "B": "whsec_short"})
    assert {name: len(entrance.keys) for name, entrance in found.items()} == {"a": 1, "b": 0, "c": 1, "d": 0}


# --- paths and payloads ------------------------------------------------------------------------------


def test_a_path_finds_the_first_value_that_is_not_null_and_its_place() -> None:
    payload = {"a": [{"附件": None}, {"附件": 0}, {"附件": 1}]}
    whole = Found(payload, ())
    assert JSONPath("$.a[*].附件").first(payload, whole) == Found(0, ("a", "1", "附件"))
    assert JSONPath("$.a[5].b").first(payload, whole) == Found(None, ("a", "5", "b"))
    assert JSONPath("$.b[*]").first(payload, whole) == Found(None, ())
    element = Found(payload["a"][1], ("a", "1"))
    assert JSONPath("@['附件']").first(payload, element) == Found(0, ("a", "1", "附件"))
    assert JSONPath("@.no").first(payload, element) == Found(None, ("a", "1", "no"))


def test_a_path_reads_no_deeper_than_a_payload_may_be() -> None:
    with pytest.raises(PathError):
        JSONPath("$.a b")
    deep: Any = {}
    for _ in range(30):
        deep = {"a": deep}
    assert JSONPath("$..b").first(deep, Found(deep, ())).value is None


@pytest.mark.parametrize(
    ("raw", "place", "reason"),
    [
        (b"", "", "empty"),
        (b"{", "", "not JSON"),
        (b"\xff{}", "", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "", "UTF-8"),
        (b"{} {}", "", "not JSON"),
        (b'{"a": {"b": 1, "b": 2}}', "a", "more than once"),
        (b'{"a": [NaN]}', "a/0", "finite number"),
        (b'{"a": 1e999}', "a", "finite number"),
        (b'{"a": 99999999999999999999}', "a", "finite number"),
        (b"[" * 40 + b"]" * 40, "/".join("0" * 32), "too deep"),
        (b"[" * 100_000, "", "too deep"),
        (b"17", "", "an object or a list"),
        (b"NaN", "", "an object or a list"),
    ],
    ids=range(14),
)
def test_a_payload_is_read_strictly(raw: bytes, place: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        read_payload(raw)
    assert "/".join(caught.value.flaws[0].path) == place
    assert reason in caught.value.flaws[0].message


# --- shipped adapters --------------------------------------------------------------------------------

SHIPPED: dict[str, list[dict[str, Any] | None]] = {
    "generic": [
        {
            "source": "webhook", "external_id": "msg_1", "kind": "complaint", "channel": "partner",
            "occurred_at": "2026-03-02T09:00:00+08:00", "text": "快递箱子压坏了，里面的杯子碎了",
            "customer": {"id": "C-9", "tier": "gold", "region": "Shanghai"},
            "product": {"sku": "A1", "model": "M2", "batch": "B3"}, "order_id": "O-1",
            "touchpoint": "delivery", "attributes": {"type": "feedback.created"},
            "rating": {"metric": "csat", "score": 2, "scale_min": 1, "scale_max": 5},
        }
    ],
    "zendesk": [
        {
            "source": "zendesk", "external_id": "5158", "kind": "ticket", "channel": "email",
            "touchpoint": "support", "occurred_at": "2026-03-02T01:00:03Z", "subject": "Broken on arrival",
            "text": "The box arrived crushed, and two of the cups inside are broken.", "severity": "high",
            "customer": {"id": "8447388090495"},
            "attributes": {
                "event": "zen:event-type:ticket.created", "ticket_type": "INCIDENT",
                "organization": "8447346622462", "brand": "8447346621310",
            },
        }
    ],
    "shopify-refund": [
        {
            "source": "shopify", "external_id": "866550311766439020", "kind": "return", "quantity": 2,
            "occurred_at": "2026-03-01T20:00:03-05:00", "product": {"sku": "A1", "model": "Cup M2"},
            "attributes": {
                "restock": "return", "order": 820982911946154508, "refund": 890088186047892319,
                "reason": "Things were damaged",
            },
        },
        None,
    ],
    "typeform": [
        {
            "source": "typeform", "external_id": "a3a12ec67a1365927098a606107fac15", "kind": "survey",
            "channel": "web", "occurred_at": "2026-03-02T01:00:03Z", "text": "送货太慢，而且杯子碎了。",
            "rating": {"metric": "nps", "score": 3, "scale_min": 0, "scale_max": 10}, "order_id": "O-1",
            "customer": {"id": "C-9", "email": "customer@example.org"},
            "attributes": {"event": "form_response", "form": "lT9Z2j1"},
        }
    ],
    "alertmanager": [
        {
            "source": "alertmanager", "external_id": "1a30ba71cca2921f/2026-03-02T00:52:26.739Z",
            "kind": "quality_report", "channel": "internal", "occurred_at": "2026-03-02T00:52:26.739Z",
            "subject": "DefectRateHigh", "text": "More than 3 % of batch B3 fail the final inspection",
            "severity": "critical", "category": "product.defect", "supplier_id": "S-1",
            "product": {"model": "M2", "batch": "B3"}, "attributes": {"status": "firing"},
        },
        None,
    ],
}  # fmt: skip


def test_every_shipped_adapter_has_an_example_and_a_secret_of_its_own() -> None:
    found = load_adapters(ADAPTERS, SECRETS)
    assert found.keys() == SHIPPED.keys() == {path.stem for path in (ADAPTERS / "examples").glob("*.json")}
    assert all(len(entrance.keys) == 1 for entrance in found.values())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_recorded_payload_of_a_shipped_adapter_becomes_the_signal_that_it_should(name: str) -> None:
    payload = read_payload((ADAPTERS / "examples" / f"{name}.json").read_bytes())
    assert bodies(load_adapters(ADAPTERS, {})[name].adapter, payload) == SHIPPED[name]


def test_what_the_shipped_adapters_leave_out_is_no_signal() -> None:
    found = load_adapters(ADAPTERS, {})
    for name, left_out in {
        "generic": {"type": "feedback.deleted"},
        "zendesk": {"type": "zen:event-type:ticket.status_changed", "detail": {"id": "1"}},
        "typeform": {"event_type": "form_response_partial", "form_response": {"token": "t"}},
        "alertmanager": {"alerts": [{"status": "resolved"}]},
        "shopify-refund": {"refund_line_items": [{"id": 1, "restock_type": "cancel", "quantity": 1}]},
    }.items():
        assert bodies(found[name].adapter, json.loads(json.dumps(left_out))) == [None], name


KEYS = st.sampled_from(
    ["type", "data", "detail", "id", "kind", "text", "occurred_at", "rating", "score", "customer", "priority",
     "refund_line_items", "restock_type", "quantity", "event_type", "form_response", "token", "answers",
     "field", "ref", "number", "alerts", "status", "fingerprint", "startsAt", "labels", "severity"]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "feedback.created",
        "zen:event-type:ticket.created",
        "return",
        "form_response",
        "firing",
        "nps",
        "comment",
    ]
)
NUMBERS = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
LEAVES = st.none() | NUMBERS | WORDS | st.text()
PAYLOADS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def shipped() -> dict[str, Adapter]:
    return {name: entrance.adapter for name, entrance in load_adapters(ADAPTERS, {}).items()}


@given(name=st.sampled_from(sorted(SHIPPED)), payload=st.dictionaries(KEYS, PAYLOADS, max_size=5))
def test_no_payload_does_anything_but_fit_or_be_refused(
    shipped: dict[str, Adapter], name: str, payload: Any
) -> None:
    adapter = shipped[name]
    try:
        for element in adapter.elements(payload):
            mapped = adapter.mapped(payload, element, "msg_1")
            if mapped is not None:
                raw = msgspec.json.encode(mapped.body)
                Receiver(SIGNALS[adapter.signal], Sender(adapter.source), NOW, SEALS).take(raw)
    except Refused as refused:
        assert refused.flaws and not refused.malformed
