"""What a person said can be read with their key, and by nobody without it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from shared import known_keys
from shared.errors import Unavailable
from shared.events import Case, Change, Customer, FeedbackReceived, Personal, Words
from shared.key_tree import LEVELS, KeyTree, destroyed, place_of
from shared.sealing import Seals
from tests.support.cases import NOW, case_file
from tests.support.seals import ROOT, SEALS, TREE

WORDS = Words(subject="坏了", text="the box is torn", personal=Personal(name="王芳", phone="1"))
SAID = msgspec.json.encode(WORDS)
FEEDBACK = UUID(int=7)


def case(**fields: Any) -> Case:
    return structs.replace(case_file(**fields).case, feedback_ids=(FEEDBACK,))


def erased(*names: bytes) -> KeyTree:
    cuts = {ROOT.place: ROOT}
    for name in names:
        changed = destroyed(cuts.values(), place_of(name))
        cuts |= {cut.place: cut for cut in changed or ()}
    return KeyTree(cuts.values())


def test_what_was_sealed_is_opened() -> None:
    sealed = SEALS.seal(b"C-1", SAID)
    assert SEALS.open(sealed) == WORDS and "王芳".encode() not in sealed


def test_the_same_words_look_different_each_time() -> None:
    assert SEALS.seal(b"C-1", SAID) != SEALS.seal(b"C-1", SAID)


def test_who_is_erased_cannot_be_read_and_everybody_else_can() -> None:
    seals = Seals(KeyTree([ROOT]))
    mine, theirs = seals.seal(b"C-1", SAID), seals.seal(b"C-2", SAID)
    seals.use(erased(b"C-1"))
    assert seals.open(mine) is None and seals.open(theirs) == WORDS


def test_who_speaks_again_after_an_erasure_is_heard() -> None:
    seals = Seals(KeyTree([ROOT]))
    before = seals.seal(b"C-1", SAID)
    seals.use(erased(b"C-1"))
    assert seals.open(seals.seal(b"C-1", SAID)) == WORDS and seals.open(before) is None


def test_keys_that_were_learnt_at_once_are_those_that_one_gets_alone() -> None:
    people = [b"C-%d" % number for number in range(50)]
    alone, at_once = Seals(erased(b"C-3")), Seals(erased(b"C-3"))
    at_once.learn([*people, b""])
    for whose in people:
        assert at_once.known.of(whose) == alone.known.of(whose)
    sealed = [alone.seal(whose, SAID) for whose in people]
    opening = Seals(erased(b"C-3"))
    opening.learn_sealed([*sealed, b"", b"no place", b"x" * 99])
    assert [opening.open(one) for one in sealed] == [WORDS] * len(people)


def test_more_people_than_are_remembered_are_all_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "_REMEMBERED", 10)
    seals = Seals(KeyTree([ROOT]))
    for start in range(0, 60, 6):
        seals.learn(b"C-%d" % number for number in range(start, start + 6))
        assert seals.known.of(b"C-%d" % start) == SEALS.known.of(b"C-%d" % start)
        assert len(seals.known._at) <= 10 and len(seals.known._of) <= 10


@given(st.binary(max_size=80))
def test_bytes_that_nobody_sealed_open_to_nothing(some: bytes) -> None:
    assert SEALS.open(some) is None


@given(st.data())
def test_sealed_bytes_that_were_altered_open_to_nothing(data: st.DataObject) -> None:
    sealed = SEALS.seal(b"C-1", SAID)
    at = data.draw(st.integers(0, len(sealed) - 1))
    assert SEALS.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None


def test_without_keys_nothing_is_taken() -> None:
    with pytest.raises(Unavailable):
        Seals().seal(b"C-1", SAID)


def test_an_erased_signal_says_all_but_words() -> None:
    sealed = SEALS.seal(b"C-1", SAID)
    signal = FeedbackReceived(
        id=FEEDBACK, source="shop", kind="complaint", occurred_at=NOW, received_at=NOW,
        customer=Customer(id="C-1", tier="gold"), category="delivery", sealed=sealed,
    )  # fmt: skip
    said = SEALS.opened(signal)
    assert isinstance(said, FeedbackReceived) and said.customer.personal == WORDS.personal
    assert (said.subject, said.text, said.sealed) == ("坏了", "the box is torn", sealed[:LEVELS])
    assert Seals(erased(b"C-1")).opened(signal) == signal


def test_a_case_is_sealed_to_the_same_bytes_as_often_as_it_is_decided() -> None:
    plain = case(subject="坏了", customer=Customer(id="C-1", personal=WORDS.personal))
    sealed = SEALS.sealed_case(plain)
    assert sealed.subject == "" and sealed.customer == Customer(id="C-1") and sealed.sealed
    assert SEALS.sealed_case(plain) == sealed and SEALS.opened_case(sealed) == plain


def test_a_case_of_a_signal_that_was_opened_before_an_erasure_is_erased_with_it() -> None:
    """Else the customer's words would live on in the case, sealed by their next key."""
    seals = Seals(TREE)
    signal = FeedbackReceived(
        id=FEEDBACK, source="shop", kind="complaint", occurred_at=NOW, received_at=NOW,
        customer=Customer(id="C-1"), sealed=seals.seal(b"C-1", SAID),
    )  # fmt: skip
    said = seals.opened(signal)
    plain = case(subject=said.subject, customer=said.customer, sealed=said.sealed)
    assert seals.opened_case(seals.sealed_case(plain)).subject == "坏了"
    seals.use(erased(b"C-1"))
    decided = seals.sealed_case(plain)
    assert decided.subject == "" and decided.customer == Customer(id="C-1")
    assert seals.opened_case(decided) == decided
    later = case(subject="again", customer=Customer(id="C-1"))
    assert seals.opened_case(seals.sealed_case(later)) == later, "what is said after it is another matter"


def test_a_case_of_a_signal_that_was_erased_before_it_was_read_says_so_and_takes_no_plain_words() -> None:
    signal = FeedbackReceived(
        id=FEEDBACK, source="shop", kind="complaint", occurred_at=NOW, received_at=NOW,
        sealed=SEALS.seal(str(FEEDBACK).encode(), SAID),
    )  # fmt: skip
    seals = Seals(erased(str(FEEDBACK).encode()))
    unread = seals.opened(signal)
    decided = seals.sealed_case(case(subject=unread.subject, customer=unread.customer, sealed=unread.sealed))
    assert seals.opened_case(decided).sealed, "which the API shows as erased"
    assert seals.sealed_words(decided, Words(text="a note"))


@pytest.mark.parametrize("sealed", [b"nonsense", b"not a place!!", b"x" * 500, SEALS.seal(b"C-2", SAID)[:-1]])
def test_words_in_plain_beside_what_nobody_can_open_are_sealed_as_their_own(sealed: bytes) -> None:
    """Somebody else's producer may say so; it is no reason to stop."""
    signal = FeedbackReceived(
        id=FEEDBACK, source="shop", kind="complaint", occurred_at=NOW, received_at=NOW,
        subject="in plain", customer=Customer(id="C-1"), sealed=sealed,
    )  # fmt: skip
    read = SEALS.opened(signal)
    decided = SEALS.sealed_case(case(subject=read.subject, customer=read.customer, sealed=read.sealed))
    assert decided.subject == "" and SEALS.opened_case(decided).subject == "in plain"
    assert Seals(erased(b"C-1")).opened_case(decided) == decided


def test_who_gave_no_id_is_sealed_by_the_feedback() -> None:
    plain = case(subject="坏了", customer=Customer(personal=Personal(phone="1")))
    sealed = SEALS.sealed_case(plain)
    assert SEALS.opened_case(sealed) == plain
    assert Seals(erased(str(plain.feedback_ids[0]).encode())).opened_case(sealed).subject == ""


def test_what_names_nobody_stays_readable() -> None:
    plain = case(subject="坏了", customer=Customer(region="north"))
    assert SEALS.sealed_case(plain) == plain
    assert SEALS.sealed_words(plain, Words(text="a note")) == b""


def test_what_is_written_on_a_case_belongs_to_its_customer() -> None:
    about = case(customer=Customer(id="C-1"))
    change = Change(type="noted", actor="chen", at=NOW, data={"public": False})
    change = structs.replace(change, sealed=SEALS.sealed_words(about, Words(text="called", reason="why")))
    read = SEALS.opened_change(change)
    assert (read.reason, read.data, read.sealed) == ("why", {"public": False, "text": "called"}, b"")
    assert Seals(erased(b"C-1")).opened_change(change) == change
