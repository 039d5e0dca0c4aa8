"""A history that was touched is found, and the entry named (docs/domain.md 1.8)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.routing.domain.action_types import Acknowledge, Note, Reply, Start
from services.routing.domain.audit import Head, flaws_of, flaws_of_head
from services.routing.domain.case_file import CaseFile, Entry, begin, entry_hash
from services.routing.domain.lifecycle import act
from services.routing.store.documents import entry_of, history_document
from shared.events import Change
from tests.support.cases import NOW, POLICY, case_file

ACTIONS = (Acknowledge(), Start(), Reply("sent again"), Note("n"))


def history(notes: int = 0) -> tuple[CaseFile, list[Entry]]:
    """A case of five versions and more, with what was written of it."""
    opened = Change(type="opened", actor="routing", at=NOW, data={"words": ["压坏"], "score": 0.5})
    step = begin(case_file(status="assigned", owner="chen").case, opened)
    entries = [step.entry]
    for n, action in enumerate((*ACTIONS, *(Note(f"{n}") for n in range(notes)))):
        step = act(step.file, action, actor="chen", at=NOW + timedelta(microseconds=1234 * n), policy=POLICY)
        entries.append(step.entry)
    return step.file, entries


def found(file: CaseFile, entries: list[Entry]) -> set[tuple[int, str]]:
    return {(flaw.version, flaw.fault) for flaw in flaws_of(file.case.id, file, entries)}


def test_an_untouched_history_has_no_flaw_also_as_it_is_stored() -> None:
    file, entries = history()
    assert found(file, entries) == set()
    stored = [entry_of(history_document(entry)) for entry in entries]
    assert stored == entries and found(file, stored) == set()


def test_texts_that_changed_places_in_the_store_are_named_by_their_places() -> None:
    file, entries = history()
    stored = [history_document(entry) for entry in entries]
    for name in ("said", "hash"):
        stored[1][name], stored[3][name] = stored[3][name], stored[1][name]
    assert {(2, "altered"), (4, "altered")} <= found(file, [entry_of(document) for document in stored])


def test_a_time_is_kept_to_the_millisecond_so_that_its_hash_can_be_computed_again() -> None:
    _, entries = history()
    assert all(entry.change.at.microsecond % 1000 == 0 for entry in entries)


@given(st.integers(0, 6), st.sampled_from(["actor", "reason", "data", "type"]))
def test_an_altered_entry_is_named(place: int, what: str) -> None:
    file, entries = history(2)
    value = {"actor": "mallory", "reason": "no reason", "data": {"text": "nothing"}, "type": "cancelled"}[
        what
    ]
    entry = entries[place]
    entries[place] = structs.replace(entry, change=structs.replace(entry.change, **{what: value}))
    assert found(file, entries) == {(place + 1, "altered")}


@given(st.integers(0, 6))
def test_a_removed_entry_is_named(place: int) -> None:
    file, entries = history(2)
    del entries[place]
    assert (place + 1, "removed") in found(file, entries)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=2, unique=True))
def test_entries_that_changed_places_are_named(places: list[int]) -> None:
    file, entries = history(2)
    one, other = places
    first, second = entries[one], entries[other]
    entries[one] = structs.replace(second, version=first.version)
    entries[other] = structs.replace(first, version=second.version)
    assert {one + 1, other + 1} <= {version for version, _ in found(file, entries)}


def test_an_entry_that_somebody_added_is_named_though_its_own_hash_is_right() -> None:
    file, entries = history()
    last = entries[-1]
    change = Change(type="noted", actor="mallory", at=NOW)
    digest = entry_hash(last.case_id, last.version + 1, change, "", last.hash)
    added = Entry(last.case_id, last.version + 1, change, "", last.hash, digest)
    assert found(file, [*entries, added]) == {(last.version + 1, "added")}


def test_a_newest_entry_that_was_written_anew_is_not_the_one_that_the_case_names() -> None:
    file, entries = history()
    last = entries[-1]
    change = structs.replace(last.change, actor="mallory")
    digest = entry_hash(last.case_id, last.version, change, last.policy_version, last.previous)
    entries[-1] = structs.replace(last, change=change, hash=digest)
    assert found(file, entries) == {(last.version, "replaced")}


def test_a_whole_case_that_is_gone_leaves_its_history() -> None:
    file, entries = history()
    flaws = list(flaws_of(file.case.id, None, entries))
    assert [(flaw.version, flaw.fault) for flaw in flaws] == [(0, "removed")]


def test_a_case_without_any_history_lacks_every_entry() -> None:
    file, entries = history()
    assert found(file, []) == {(entry.version, "removed") for entry in entries}


def test_another_case_s_entry_is_altered_here() -> None:
    file, entries = history()
    entries[1] = structs.replace(entries[1], case_id=uuid4())
    assert (2, "altered") in found(file, entries)


def test_a_chain_that_was_rewritten_as_a_whole_is_found_by_its_anchor() -> None:
    file, entries = history()
    head = Head(file.case.id, len(entries), entries[-1].hash)
    assert list(flaws_of_head(head, entries[-1])) == []
    forged = msgspec.structs.replace(entries[-1], hash="0" * 64)
    assert [flaw.fault for flaw in flaws_of_head(head, forged)] == ["replaced"]
    assert [flaw.fault for flaw in flaws_of_head(head, None)] == ["removed"]
