"""Signatures of forms: what a page or a link carries comes back unaltered, or is not believed.

HMAC-SHA256 by itsdangerous, with a key of its own for each purpose, so that none passes for another.
Nothing in them is secret. Time is an argument, in seconds since 1970.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TypeVar

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from shared.events import Touchpoint

T = TypeVar("T", bound=msgspec.Struct)
LONGEST = 4096
SHORTEST_SECRET = 16


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a signed link says of who opens it. `until`: when it ends; 0: never."""

    form: str
    customer: str = ""
    order: str = ""
    touchpoint: Touchpoint = ""
    until: int = 0


class PageToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Carried by one rendered page: `nonce` is the identity of what it will send.

    `not_before`: earlier no person has read it; `not_after`: it was open for too long.
    """

    form: str
    nonce: str
    not_before: float
    not_after: float
    link: Link | None = None


class Receipt(msgspec.Struct, frozen=True):
    """What the page of thanks shows."""

    form: str
    reference: str


class Signer:
    """Signs and reads all of them with one secret."""

    def __init__(self, secret: str) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"a secret has at least {SHORTEST_SECRET} characters")
        self._secret = secret

    def sign(self, said: Link | PageToken | Receipt) -> str:
        """A token of URL-safe characters."""
        return str(self._serializer(type(said)).dumps(msgspec.to_builtins(said)))

    def link(self, token: str, now: float) -> Link | None:
        """None when it is not ours, was altered, or is over."""
        link = self.read(token, Link)
        return None if link is None or (link.until and now > link.until) else link

    def read(self, token: str, kind: type[T]) -> T | None:
        """None when it is not ours, was altered, or is of another kind."""
        if len(token) > LONGEST:
            return None
        try:
            return msgspec.convert(self._serializer(kind).loads(token), kind)
        except (BadData, msgspec.ValidationError):
            return None

    @property
    def hash_key(self) -> bytes:
        """By which what a form said is hashed, where the hash can be read by more people than the secret."""
        return hmac.digest(self._secret.encode(), b"cqm.form.said", "sha256")

    def _serializer(self, kind: type[msgspec.Struct]) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._secret,
            salt=f"cqm.form.{kind.__name__}",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
