"""A key for everybody, of which single ones can be destroyed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.key_tree import LEVELS, SEED, Cut, KeyTree, destroyed, place_of

ROOT = Cut(b"", 0, bytes(range(SEED)))
PLACES = st.text("0123456789abcdef", min_size=LEVELS, max_size=LEVELS).map(str.encode)
NEAR = st.sampled_from("01f").map(lambda last: f"{'a' * (LEVELS - 1)}{last}".encode())
"""Places that share all branches but the last."""


def without(cuts: dict[bytes, Cut], place: bytes) -> bool:
    """Destroy a key; False when it was destroyed before."""
    changed = destroyed(cuts.values(), place)
    for cut in changed or ():
        cuts[cut.place] = cut
    return changed is not None


@settings(deadline=None, max_examples=60)
@given(st.lists(PLACES | NEAR, min_size=2, max_size=12), st.data())
def test_a_destroyed_key_is_gone_and_no_other_is(places: list[bytes], data: st.DataObject) -> None:
    before, cuts = KeyTree([ROOT]), {ROOT.place: ROOT}
    gone = data.draw(st.lists(st.sampled_from(places), max_size=8))
    for number, place in enumerate(gone):
        assert without(cuts, place) == (place not in gone[:number])
    after = KeyTree(cuts.values())
    for place in (*places, place_of(b"somebody else")):
        assert after.keys([place]) == ([None] if place in gone else before.keys([place]))
    assert after.keys(places) == [after.keys([place])[0] for place in places], "all at once"


def test_two_people_have_two_keys() -> None:
    tree = KeyTree([ROOT])
    keys = tree.keys([place_of(b"C-%d" % number) for number in range(1000)])
    halves = {half for key in keys if key is not None for half in key}
    assert len(halves) == 2000 and all(len(half) == 16 for half in halves), "to seal with, and to mark with"


def test_the_next_key_of_a_person_is_another_one() -> None:
    assert len({place_of(b"C-1", turn) for turn in range(5)}) == 5


def test_no_seed_above_a_destroyed_key_is_left() -> None:
    place, cuts = place_of(b"C-1"), {ROOT.place: ROOT}
    assert without(cuts, place)
    assert cuts[b""].seeds == bytes(SEED) and len(cuts[place].seeds) == LEVELS * 15 * SEED


def test_a_tree_of_which_nothing_is_left_has_no_keys() -> None:
    assert KeyTree([]).keys([place_of(b"C-1")]) == [None]
