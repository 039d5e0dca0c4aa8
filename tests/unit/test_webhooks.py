"""Signatures of webhooks: what proves who sent, and everything that does not."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.webhooks import MAX_SIGNATURES, SCHEMES, Unsigned, read_keys, verify
from tests.support import signing

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
BODY = '{"text": "箱子坏了"}'.encode()
SECRET = signing.SECRETS["CQM_HOOK_GENERIC"]
OTHER = "whsec_" + b64encode(b"another secret of 24 byte").decode()
STANDARD = read_keys("standard", SECRET)
SENT = signing.standard(BODY, NOW)
SCHEME_OF = {
    "generic": "standard", "zendesk": "zendesk", "shopify-refund": "shopify", "typeform": "typeform",
    "alertmanager": "bearer",
}  # fmt: skip


def refused(headers: dict[str, str], body: bytes = BODY, now: datetime = NOW) -> str:
    with pytest.raises(Unsigned) as caught:
        verify("standard", STANDARD, headers, body, now)
    return str(caught.value)


def ed25519() -> tuple[Ed25519PrivateKey, str]:
    private = Ed25519PrivateKey.generate()
    return private, "whpk_" + b64encode(private.public_key().public_bytes_raw()).decode()


def test_the_published_example_of_standard_webhooks_is_right() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    now = datetime.fromtimestamp(1614265330, UTC)
    assert verify("standard", STANDARD, headers, b'{"test": 2432232314}', now) == headers["webhook-id"]


@pytest.mark.parametrize("name", signing.SIGNERS)
def test_what_a_sender_signs_is_let_in_and_the_same_with_one_letter_changed_is_not(name: str) -> None:
    scheme = SCHEME_OF[name]
    keys = read_keys(scheme, signing.SECRETS[f"CQM_HOOK_{name.partition('-')[0].upper()}"])
    headers = signing.SIGNERS[name](BODY, NOW)
    assert verify(scheme, keys, headers, BODY, NOW) == headers.get("webhook-id", "")
    signature = next(key for key in headers if key.endswith(("signature", "sha256", "authorization")))
    for wrong in (headers[signature][:-2] + "x=", "", " ", "é", "\ud800", "v1,", "v1", "sha256=", "Bearer"):
        with pytest.raises(Unsigned):
            verify(scheme, keys, headers | {signature: wrong}, BODY, NOW)
    if scheme != "bearer":
        with pytest.raises(Unsigned):
            verify(scheme, keys, headers, BODY + b" ", NOW)


@pytest.mark.parametrize("name", ["generic", "zendesk"])
@pytest.mark.parametrize(
    ("off", "taken"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_the_time_may_be_300_seconds_off_and_no_more(name: str, off: int, taken: bool) -> None:
    scheme = SCHEME_OF[name]
    keys = read_keys(scheme, signing.SECRETS[f"CQM_HOOK_{name.upper()}"])
    headers = signing.SIGNERS[name](BODY, NOW + timedelta(seconds=off))
    if taken:
        verify(scheme, keys, headers, BODY, NOW)
    else:
        with pytest.raises(Unsigned, match="300 s off"):
            verify(scheme, keys, headers, BODY, NOW)


@pytest.mark.parametrize("header", SENT)
@pytest.mark.parametrize("value", [None, "", "é", "١٢", "\x00", "a b", "x" * 300])
def test_a_header_that_is_missing_or_malformed_proves_nothing(header: str, value: str | None) -> None:
    headers = {name: content for name, content in SENT.items() if name != header}
    assert refused(headers if value is None else headers | {header: value})


@pytest.mark.parametrize(
    "time", ["-5", "1.5", "1e9", "+1", "0x10", "99999999999999999999", "2026-03-02T01:00:00Z"]
)
def test_a_time_is_whole_seconds_in_plain_digits(time: str) -> None:
    assert refused(SENT | {"webhook-timestamp": time}) == "malformed webhook-timestamp"


@pytest.mark.parametrize(
    "time", ["2026-13-01T00:00:00Z", "2026-03-02T01:00:00+00:00", "2026-03-02 01:00:00Z", "1"]
)
def test_a_time_of_zendesk_is_in_utc_and_in_the_calendar(time: str) -> None:
    keys = read_keys("zendesk", signing.SECRETS["CQM_HOOK_ZENDESK"])
    headers = signing.zendesk(BODY, NOW) | {"x-zendesk-webhook-signature-timestamp": time}
    with pytest.raises(Unsigned, match="malformed"):
        verify("zendesk", keys, headers, BODY, NOW)


def test_one_right_signature_among_others_is_enough() -> None:
    several = f"v2,unknown v1a,AAAA {SENT['webhook-signature']} v1,AAAA"
    assert verify("standard", STANDARD, SENT | {"webhook-signature": several}, BODY, NOW) == "msg_1"


def test_a_header_has_at_most_so_many_signatures() -> None:
    several = " ".join(["v1,AAAA"] * MAX_SIGNATURES + [SENT["webhook-signature"]])
    assert refused(SENT | {"webhook-signature": several}) == "too many signatures"


def test_either_of_two_secrets_is_right_while_one_replaces_the_other() -> None:
    for both in (f"{SECRET} {OTHER}", f"{OTHER}\n{SECRET}\n"):
        assert verify("standard", read_keys("standard", both), SENT, BODY, NOW) == "msg_1"
    with pytest.raises(Unsigned):
        verify("standard", read_keys("standard", OTHER), SENT, BODY, NOW)


def test_a_signature_by_ed25519_is_right_and_only_as_v1a() -> None:
    private, public = ed25519()
    content = f"msg_1.{SENT['webhook-timestamp']}.".encode() + BODY
    signature = b64encode(private.sign(content)).decode()
    keys = read_keys("standard", f"{SECRET} {public}")
    assert verify("standard", keys, SENT | {"webhook-signature": f"v1a,{signature}"}, BODY, NOW) == "msg_1"
    for wrong in (f"v1,{signature}", f"v1a,{signature[:-4]}", "v1a,****", f"v1a, {signature}", "v1a,é"):
        with pytest.raises(Unsigned):
            verify("standard", keys, SENT | {"webhook-signature": wrong}, BODY, NOW)


def test_a_public_key_is_no_secret_for_hmac() -> None:
    """The classic confusion: who knows the public key must not be able to sign with it."""
    _, public = ed25519()
    forged = signing.Webhook("whsec_" + public.removeprefix("whpk_")).sign("msg_1", NOW, BODY.decode())
    with pytest.raises(Unsigned):
        verify("standard", read_keys("standard", public), SENT | {"webhook-signature": forged}, BODY, NOW)


@pytest.mark.parametrize(
    ("scheme", "secret", "why"),
    [
        ("standard", "", "is empty"),
        ("standard", " \n", "is empty"),
        ("standard", "whsec_****", "is not base64"),
        ("standard", "whsec_c2hvcnQ=", "fewer than 24 bytes"),
        ("standard", "whpk_c2hvcnQ=", "has 32 bytes"),
        ("standard", "whsk_" + "QUFB" * 8, "begins with neither"),
        ("standard", "QUFB" * 8, "neither|base64"),
        ("shopify", "short", "fewer than 16 characters"),
        ("bearer", "short", "fewer than 16 characters"),
    ],
)
def test_a_secret_that_is_none_is_refused_without_being_told(scheme: str, secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_keys(scheme, secret)
    assert not secret.strip() or secret not in str(caught.value)


@given(st.sampled_from(sorted(SCHEMES)), st.dictionaries(st.sampled_from(sorted(
    {"webhook-id", "webhook-timestamp", "webhook-signature", "x-zendesk-webhook-signature", "authorization",
     "x-zendesk-webhook-signature-timestamp", "x-shopify-hmac-sha256", "typeform-signature"})), st.text()),
    st.binary())  # fmt: skip
def test_nothing_but_unsigned_is_ever_raised(scheme: str, headers: dict[str, str], body: bytes) -> None:
    keys = read_keys(scheme, SECRET)
    with pytest.raises(Unsigned):
        verify(scheme, keys, headers, body, NOW)
