"""What a person said is sealed with a key of their own, wherever it is kept: on Kafka, in MongoDB, in dead
letters. Who destroys the key has erased the person everywhere, and what is counted stays as it is
(docs/adr/0040-a-person-is-erased-by-a-key.md).

Sealed: name, phone, email, subject, text, and what people write on a case. Whose it is: the customer's, by
id; where a name, phone or email came without one, the feedback's own. What names nobody is nobody's, and
stays readable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import structs

from shared.errors import Unavailable
from shared.events import Case, Change, Event, Words
from shared.key_tree import LEVELS, Key, KeyTree
from shared.known_keys import KnownKeys

E = TypeVar("E", bound=Event)

_NONCE, _TAG = 12, 16
AROUND = LEVELS + _NONCE + _TAG
"""Bytes that sealing adds: the place of the key, the nonce, and the mark that nothing was altered."""
NOT_READ = "the keys of what people say were not read from MongoDB yet"
_PLACE = re.compile(rb"[0-9a-f]{%d}" % LEVELS)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Words).decode


def encrypted(place: bytes, key: Key, words: bytes, nonce: bytes = b"") -> bytes:
    """As Seals.seal, with a key that is known (shared/known_keys.py)."""
    nonce = nonce or os.urandom(_NONCE)
    return place + nonce + AESGCM(key.sealing).encrypt(nonce, words, place)


class Seals:
    """Seals and opens with the keys of a tree; without one yet, nobody's words are taken or shown."""

    def __init__(self, tree: KeyTree | None = None) -> None:
        self._known = KnownKeys(tree) if tree is not None else None

    def use(self, tree: KeyTree) -> None:
        """Another tree from now on: keys were destroyed."""
        self._known = KnownKeys(tree)

    def forget(self) -> None:
        """No tree any more: the one that was used is not the one that is stored."""
        self._known = None

    @property
    def ready(self) -> bool:
        return self._known is not None

    def demand(self) -> None:
        """Raises Unavailable where there are no keys yet."""
        _ = self.known

    @property
    def known(self) -> KnownKeys:
        """Raises Unavailable."""
        if self._known is None:
            raise Unavailable(NOT_READ)
        return self._known

    def learn(self, people: Iterable[bytes]) -> None:
        """Compute the keys of many at once, which costs a tenth of each alone; nobody is b"".

        Raises Unavailable.
        """
        if some := set(people) - {b""}:
            self.known.learn(some)

    def seal(self, whose: bytes, words: bytes, nonce: bytes = b"") -> bytes:
        """`words`: the JSON of Words; `nonce`: 12 bytes that go with them alone, random ones without.

        Raises Unavailable.
        """
        place, key = self.known.of(whose)
        return encrypted(place, key, words, nonce)

    def seal_again(self, place: bytes, whose: bytes, words: bytes, nonce: bytes = b"") -> bytes:
        """As `seal`, words that were opened: by the key that they had, at its `place`, so that an erasure
        meanwhile erases them here too. Where that is destroyed, the place is what is left.

        What is no place says nothing: the words were not sealed, or stood in plain beside what nobody can
        open. Raises Unavailable.
        """
        if not _PLACE.fullmatch(place):
            return self.seal(whose, words, nonce)
        key = self.known.at(place)
        return place if key is None else encrypted(place, key, words, nonce)

    def open(self, sealed: bytes) -> Words | None:
        """None when the key was destroyed, or the bytes are not what was sealed. Raises Unavailable."""
        place, nonce, secret = sealed[:LEVELS], sealed[LEVELS : LEVELS + _NONCE], sealed[LEVELS + _NONCE :]
        key = self.known.at(place) if _PLACE.fullmatch(place) else None
        try:
            return None if key is None else _decode(AESGCM(key.sealing).decrypt(nonce, secret, place))
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            return None

    def learn_sealed(self, some: Iterable[bytes]) -> None:
        """Compute the keys at once that open what is sealed, as `learn` does. Raises Unavailable."""
        if places := [place for sealed in some if _PLACE.fullmatch(place := sealed[:LEVELS])]:
            self.known.learn_places(places)

    # --- events ----------------------------------------------------------------------------------------

    def opened(self, event: E) -> E:
        """A signal with what its sender said, and in `sealed` the place of the key alone, for seal_again; as
        it is where the key was destroyed."""
        sealed: bytes = getattr(event, "sealed", b"")
        words = self.open(sealed) if sealed else None
        if words is None:
            return event
        said: dict[str, object] = {"sealed": place_in(sealed)}
        if words.personal is not None:
            said["customer"] = structs.replace(event.customer, personal=words.personal)  # type: ignore[attr-defined]
        if words.subject or words.text:
            said |= {"subject": words.subject, "text": words.text}
        return structs.replace(event, **said)

    def sealed_case(self, case: Case) -> Case:
        """A new case with its customer's words sealed. In `sealed` it has the place of the key that its
        signal was sealed with; the same case is sealed to the same bytes, for it may be decided twice."""
        personal = case.customer.personal
        owner = whose_is(case)
        if owner is None or not (case.subject or personal):
            # where something was sealed all the same, it is erased already
            return structs.replace(case, sealed=place_in(case.sealed)) if case.sealed else case
        words = Words(subject=case.subject, personal=personal)
        sealed = self.seal_again(case.sealed, owner, _encode(words), case.id.bytes[-_NONCE:])
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
        owner = whose_is(case)
        return self.seal(owner, _encode(words)) if owner is not None and words != Words() else b""

    def opened_change(self, change: Change) -> Change:
        """A change with what was written; as it is where the key was destroyed."""
        words = self.open(change.sealed) if change.sealed else None
        if words is None:
            return change
        data = change.data | ({"text": words.text} if words.text else {})
        return structs.replace(change, reason=words.reason or change.reason, data=data, sealed=b"")


def place_in(sealed: bytes) -> bytes:
    """The place of the key that something is sealed with."""
    return sealed[:LEVELS]


def whose_is(case: Case) -> bytes | None:
    """By whose key a case's words are sealed."""
    if case.customer.id or case.sealed or case.customer.personal is not None:
        return whose(case.customer.id, case.feedback_ids[0])
    return None


def whose(customer: str, feedback: UUID | str) -> bytes:
    """By whose key something is sealed: the customer's, else that of the one feedback."""
    return (customer or str(feedback)).encode()
