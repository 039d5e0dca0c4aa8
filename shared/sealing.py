"""What a person said is sealed with a key of their own, wherever it is kept: on Kafka, in MongoDB, in dead
letters. Who destroys the key has erased the person everywhere, and what is counted stays as it is
(docs/adr/0040-a-person-is-erased-by-a-key.md).

Sealed: name, phone, email, subject, text, and what people write on a case. Whose it is: the customer's, by
id; where a name, phone or email came without one, the feedback's own. What names nobody is nobody's, and
stays readable.
"""

from __future__ import annotations

import os
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import structs

from shared.errors import Unavailable
from shared.events import Case, Change, Event, Words
from shared.key_tree import LEVELS, KeyTree, place_of

_NONCE, _TAG = 12, 16
AROUND = LEVELS + _NONCE + _TAG
"""Bytes that sealing adds: the place of the key, the nonce, and the mark that nothing was altered."""
_REMEMBERED = 4096
"""Keys of the people who were heard of last."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Words).decode


class Seals:
    """Seals and opens with the keys of a tree; without one yet, nobody's words are taken or shown."""

    def __init__(self, tree: KeyTree | None = None) -> None:
        self.use(tree)

    def use(self, tree: KeyTree | None) -> None:
        """Another tree from now on: keys were destroyed."""
        self._tree = tree
        self._of = lru_cache(_REMEMBERED)(self._first_of)
        self._at = lru_cache(_REMEMBERED)(self._key_at)

    @property
    def ready(self) -> bool:
        return self._tree is not None

    def key(self, whose: bytes) -> bytes:
        """The key by which a person is sealed now. Raises Unavailable."""
        return self._of(whose)[1]

    def seal(self, whose: bytes, words: bytes, nonce: bytes = b"") -> bytes:
        """`words`: the JSON of Words; `nonce`: 12 bytes that go with them alone, random ones without.

        Raises Unavailable.
        """
        place, key = self._of(whose)
        nonce = nonce or os.urandom(_NONCE)
        return place + nonce + AESGCM(key).encrypt(nonce, words, place)

    def open(self, sealed: bytes) -> Words | None:
        """None when the key was destroyed, or the bytes are not what was sealed. Raises Unavailable."""
        place, nonce, secret = sealed[:LEVELS], sealed[LEVELS : LEVELS + _NONCE], sealed[LEVELS + _NONCE :]
        try:
            key = self._at(place)
            return None if key is None else _decode(AESGCM(key).decrypt(nonce, secret, place))
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            return None

    def _first_of(self, whose: bytes) -> tuple[bytes, bytes]:
        """The place and the key by which a person is sealed now: the first that was not destroyed."""
        turn = 0
        while (key := self._key_at(place := place_of(whose, turn))) is None:
            turn += 1
        return place, key

    def _key_at(self, place: bytes) -> bytes | None:
        if self._tree is None:
            raise Unavailable("the keys of what people say were not read from MongoDB yet")
        return self._tree.key(place)

    # --- events ----------------------------------------------------------------------------------------

    def opened(self, event: Event) -> Event:
        """A signal with what its sender said; as it is where the key was destroyed."""
        sealed: bytes = getattr(event, "sealed", b"")
        words = self.open(sealed) if sealed else None
        if words is None:
            return event
        said: dict[str, object] = {"sealed": b""}
        if words.personal is not None:
            said["customer"] = structs.replace(event.customer, personal=words.personal)  # type: ignore[attr-defined]
        if words.subject or words.text:
            said |= {"subject": words.subject, "text": words.text}
        return structs.replace(event, **said)

    def sealed_case(self, case: Case) -> Case:
        """A new case with its customer's words sealed. The same case is sealed to the same bytes: it may be
        decided twice."""
        personal = case.customer.personal
        whose = whose_is(case)
        if whose is None or not (case.subject or personal):
            return case
        words = Words(subject=case.subject, personal=personal)
        sealed = self.seal(whose, _encode(words), case.id.bytes[-_NONCE:])
        customer = structs.replace(case.customer, personal=None) if personal else case.customer
        return structs.replace(case, subject="", customer=customer, sealed=sealed)

    def opened_case(self, case: Case) -> Case:
        """A case with its customer's words. `sealed` stays where the key was destroyed."""
        words = self.open(case.sealed) if case.sealed else None
        if words is None:
            return case
        customer = structs.replace(case.customer, personal=words.personal)
        return structs.replace(case, subject=words.subject, customer=customer, sealed=b"")

    def sealed_words(self, case: Case, words: Words) -> bytes:
        """What somebody writes on a case; nothing where the case is nobody's."""
        whose = whose_is(case)
        return self.seal(whose, _encode(words)) if whose is not None and words != Words() else b""

    def opened_change(self, change: Change) -> Change:
        """A change with what was written; as it is where the key was destroyed."""
        words = self.open(change.sealed) if change.sealed else None
        if words is None:
            return change
        data = change.data | ({"text": words.text} if words.text else {})
        return structs.replace(change, reason=words.reason or change.reason, data=data, sealed=b"")


def whose_is(case: Case) -> bytes | None:
    """By whose key a case's words are sealed."""
    if case.customer.id:
        return case.customer.id.encode()
    if case.sealed or case.customer.personal is not None:
        return str(case.feedback_ids[0]).encode()
    return None
