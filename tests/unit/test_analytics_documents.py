"""Facts as MongoDB keeps them: what a text says is sealed with the fact, and erased with the person."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import structs

from services.analytics.domain import feedback
from services.analytics.domain.feedback import FeedbackFact
from services.analytics.domain.tallies import VOICE
from services.analytics.domain.voice import listener
from services.analytics.store.documents import document, fact_of, reveal_terms
from shared.events import Customer, Words
from shared.key_tree import KeyTree, destroyed, place_of
from shared.sealing import Seals
from tests.support.analytics import feedback as said
from tests.support.seals import ROOT, TREE

TEXT = "parcel arrived broken"


def heard(seals: Seals) -> FeedbackFact:
    """The fact of a signal that was sealed, and opened."""
    sealed = seals.seal(b"C-1", msgspec.json.encode(Words(text=TEXT)))
    event = structs.replace(
        said("f", language="en", category="late"), customer=Customer(id="C-1"), sealed=sealed
    )
    listen = listener(ZoneInfo("UTC"))
    outcome = feedback.take([seals.opened(event)], feedback.Known({}, {}), lambda _: 0, listen)
    (fact,) = outcome.new[feedback.COLLECTION]
    assert isinstance(fact, FeedbackFact)
    return fact


def revealed(stored: dict[str, Any], seals: Seals) -> FeedbackFact:
    reveal_terms(stored, seals)
    return fact_of(stored, FeedbackFact)


def terms(fact: FeedbackFact) -> list[str]:
    return [measure.d["terms"] for measure in fact.m if measure.k == VOICE.name and measure.d is not None]


@pytest.mark.parametrize("sealed", [b"nonsense", b"not a place!!", b"x" * 500])
def test_a_text_in_plain_beside_what_nobody_can_open_is_sealed_as_its_own(sealed: bytes) -> None:
    seals = Seals(TREE)
    event = structs.replace(said("f", language="en", text=TEXT), customer=Customer(id="C-1"), sealed=sealed)
    listen = listener(ZoneInfo("UTC"))
    outcome = feedback.take([seals.opened(event)], feedback.Known({}, {}), lambda _: 0, listen)
    (fact,) = outcome.new[feedback.COLLECTION]
    stored = document(fact, seals)
    assert "parcel" not in str(stored) and "parcel" in " ".join(terms(revealed(stored, seals)))


def without_c1() -> KeyTree:
    left = destroyed([ROOT], place_of(b"C-1"))
    assert left is not None
    return KeyTree(left)


def test_terms_come_back_as_they_were() -> None:
    seals = Seals(TREE)
    fact = heard(seals)
    stored = document(fact, seals)
    assert "parcel" not in str(stored)
    assert terms(revealed(stored, seals)) == terms(fact) != []


def test_a_text_that_was_heard_before_an_erasure_is_erased_with_it() -> None:
    """Else its terms would live on, sealed by the next key of who was erased."""
    seals = Seals(TREE)
    fact = heard(seals)
    seals.use(without_c1())
    assert terms(revealed(document(fact, seals), seals)) == []


def test_terms_that_were_read_before_an_erasure_and_written_after_it_are_erased_with_it() -> None:
    seals = Seals(TREE)
    read = revealed(document(heard(seals), seals), seals)
    seals.use(without_c1())
    assert terms(revealed(document(read, seals), seals)) == []
