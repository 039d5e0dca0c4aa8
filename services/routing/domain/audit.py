"""Whether a case's history is as it was written: each entry by its own hash, the chain by the links between
them, its end by the case (docs/domain.md 1.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple
from uuid import UUID

from services.routing.domain.case_file import CaseFile, Entry, entry_hash

Fault = Literal["removed", "altered", "added", "unlinked", "replaced"]


class Flaw(NamedTuple):
    """An entry that is not as it was written. `version` 0: the whole case."""

    case_id: UUID
    version: int
    fault: Fault
    detail: str


class Head(NamedTuple):
    """Where a case's history ended when it was anchored."""

    case_id: UUID
    version: int
    hash: str


def flaws_of(case_id: UUID, file: CaseFile | None, entries: Iterable[Entry]) -> Iterator[Flaw]:
    """What is wrong with the history of a case; `entries` in the order of their versions, `file` as stored.

    An altered, reordered or moved entry has another hash than it says; a removed one leaves a gap, or a case
    that says another end; an added one is beyond the case's version, or not linked to the one before.
    """
    expected, previous = 1, ""
    for entry in entries:
        for version in range(expected, entry.version):
            yield Flaw(case_id, version, "removed", "the entry is missing")
        of = (entry.case_id, entry.version, entry.change, entry.policy_version, entry.previous)
        if entry.case_id != case_id or entry.hash != entry_hash(*of):
            yield Flaw(case_id, entry.version, "altered", "the entry is not what its hash was made of")
        elif entry.version == expected and entry.previous != previous:
            yield Flaw(case_id, entry.version, "unlinked", "the entry is not linked to the one before")
        if file is not None and entry.version > file.case.version:
            yield Flaw(case_id, entry.version, "added", f"the case is at version {file.case.version}")
        expected, previous = entry.version + 1, entry.hash
    if file is None:
        yield Flaw(case_id, 0, "removed", "there is a history, and no case")
        return
    for version in range(expected, file.case.version + 1):
        yield Flaw(case_id, version, "removed", "the entry is missing")
    if expected == file.case.version + 1 and previous != file.books.head:
        yield Flaw(case_id, file.case.version, "replaced", "the newest entry is not the one the case names")


def flaws_of_head(head: Head, entry: Entry | None) -> Iterator[Flaw]:
    """Whether what an anchor has seen is still there: whoever rewrites a chain cannot rewrite its past."""
    if entry is None:
        yield Flaw(head.case_id, head.version, "removed", "the entry was anchored, and is missing")
    elif entry.hash != head.hash:
        yield Flaw(head.case_id, head.version, "replaced", "the entry is another one than was anchored")
