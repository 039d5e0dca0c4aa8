"""Whether a webhook comes from who it says: signatures of five kinds of senders. Pure; time is an argument.

`standard` is Standard Webhooks 1.0.0: HMAC-SHA256 (`v1`, secret `whsec_`) and ed25519 (`v1a`, public key
`whpk_`) over `id.timestamp.body`. The others are what Zendesk, Shopify and Typeform document, and a bearer
token for senders that sign nothing. What is compared with a secret is compared in constant time.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.errors import CQMError

TOLERANCE = timedelta(seconds=300)
MAX_SIGNATURES = 20
"""In one header: what is checked costs time before anybody is known."""
MIN_SECRET_BYTES, MIN_SECRET_LETTERS = 24, 16

# With the place in a fan-out behind it, an id must still fit into external_id (200).
_ID = re.compile(r"[\x21-\x7e]{1,190}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_ANY = re.compile(r"[\x20-\x7e]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Headers = Mapping[str, str]


class Unsigned(CQMError):
    """The request proves nothing. The reason is for the operator's log; the sender is told none."""


class Key(Protocol):
    """One secret, or one public key, that a sender signs with."""

    def matches(self, content: bytes, given: str) -> bool:
        """Whether `given` is this key's signature of `content`."""


class Scheme(NamedTuple):
    """`read_key`: from the text of a secret, raises ValueError without repeating it. `verify`: answers the id
    that the signature covers, "" where the scheme has none; raises Unsigned."""

    read_key: Callable[[str], Key]
    verify: Callable[[Sequence[Key], Headers, bytes, datetime], str]
    signs_an_id: bool = False


class _Hmac(NamedTuple):
    """HMAC-SHA256 in base64, after a prefix that says so."""

    secret: bytes
    prefix: str = ""

    def matches(self, content: bytes, given: str) -> bool:
        expected = self.prefix.encode() + b64encode(hmac.digest(self.secret, content, "sha256"))
        return hmac.compare_digest(expected, given.encode(errors="replace"))


class _Ed25519(NamedTuple):
    key: Ed25519PublicKey

    def matches(self, content: bytes, given: str) -> bool:
        version, _, signature = given.partition(",")
        try:
            self.key.verify(b64decode(signature, validate=True), content)
        except (InvalidSignature, ValueError):
            return False
        return version == "v1a"


class _Token(NamedTuple):
    token: bytes

    def matches(self, content: bytes, given: str) -> bool:
        return hmac.compare_digest(self.token, given.encode(errors="replace"))


def verify(scheme: str, keys: Sequence[Key], headers: Headers, body: bytes, now: datetime) -> str:
    """The id that the signature covers, or "". `headers`: by lower-case name, those that came once.

    Raises Unsigned for a signature that is wrong, missing or malformed, and for a time over TOLERANCE off.
    """
    return SCHEMES[scheme].verify(keys, headers, body, now)


def read_keys(scheme: str, text: str) -> tuple[Key, ...]:
    """The keys in `text`: one, or several apart by white space while senders change from one to the next.

    Raises ValueError with a reason that does not repeat them.
    """
    keys = tuple(SCHEMES[scheme].read_key(word) for word in text.split())
    if not keys:
        raise ValueError("is empty")
    return keys


def _standard_key(text: str) -> Key:
    kind, _, encoded = text.partition("_")
    try:
        raw = b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError("is not base64 after its prefix") from None
    if kind == "whpk":
        if len(raw) != 32:
            raise ValueError("is no ed25519 public key: that has 32 bytes")
        return _Ed25519(Ed25519PublicKey.from_public_bytes(raw))
    if kind != "whsec":
        raise ValueError("begins with neither whsec_ nor whpk_")
    if len(raw) < MIN_SECRET_BYTES:
        raise ValueError(f"has fewer than {MIN_SECRET_BYTES} bytes")
    return _Hmac(raw, "v1,")


def _letters(text: str) -> bytes:
    if len(text) < MIN_SECRET_LETTERS:
        raise ValueError(f"has fewer than {MIN_SECRET_LETTERS} characters")
    return text.encode()


def _standard(keys: Sequence[Key], headers: Headers, body: bytes, now: datetime) -> str:
    identity = _header(headers, "webhook-id", _ID)
    sent = _header(headers, "webhook-timestamp", _SECONDS)
    signatures = _header(headers, "webhook-signature", _ANY).split(" ")
    if len(signatures) > MAX_SIGNATURES:
        raise Unsigned("too many signatures")
    _check_time(timedelta(seconds=int(sent)), now)
    _check(keys, f"{identity}.{sent}.".encode() + body, signatures)
    return identity


def _zendesk(keys: Sequence[Key], headers: Headers, body: bytes, now: datetime) -> str:
    sent = _header(headers, "x-zendesk-webhook-signature-timestamp", _TIME)
    signature = _header(headers, "x-zendesk-webhook-signature", _ANY)
    try:
        at = datetime.fromisoformat(sent)
    except ValueError:
        raise Unsigned("malformed x-zendesk-webhook-signature-timestamp") from None
    _check_time(at - _EPOCH, now)
    _check(keys, sent.encode() + body, [signature])
    return ""


def _bearer(keys: Sequence[Key], headers: Headers, body: bytes, now: datetime) -> str:
    method, _, token = _header(headers, "authorization", _ANY).partition(" ")
    if method.lower() != "bearer":
        raise Unsigned("no bearer token")
    _check(keys, body, [token.strip(" ")])
    return ""


def _of_body(header: str) -> Callable[[Sequence[Key], Headers, bytes, datetime], str]:
    """A signature of the body alone, without a time: the identity in the body makes a replay harmless."""

    def verify_body(keys: Sequence[Key], headers: Headers, body: bytes, now: datetime) -> str:
        _check(keys, body, [_header(headers, header, _ANY)])
        return ""

    return verify_body


def _header(headers: Headers, name: str, form: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not form.fullmatch(value):
        raise Unsigned(f"{'malformed' if value else 'no single'} {name}")
    return value


def _check_time(sent: timedelta, now: datetime) -> None:
    if abs(now - _EPOCH - sent) > TOLERANCE:
        raise Unsigned(f"its time is more than {TOLERANCE.total_seconds():g} s off")


def _check(keys: Sequence[Key], content: bytes, signatures: Sequence[str]) -> None:
    if not any(key.matches(content, given) for key in keys for given in signatures):
        raise Unsigned("no signature matches")


SCHEMES: Mapping[str, Scheme] = {
    "standard": Scheme(_standard_key, _standard, signs_an_id=True),
    "zendesk": Scheme(lambda text: _Hmac(_letters(text)), _zendesk),
    "shopify": Scheme(lambda text: _Hmac(_letters(text)), _of_body("x-shopify-hmac-sha256")),
    "typeform": Scheme(lambda text: _Hmac(_letters(text), "sha256="), _of_body("typeform-signature")),
    "bearer": Scheme(lambda text: _Token(_letters(text)), _bearer),
}
