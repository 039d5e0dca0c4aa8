"""What a decision wants stored and said: every batch and every action ends in one of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from msgspec import Struct

from services.routing.domain.case_file import CaseFile, Entry, Step, tell
from services.routing.domain.pool import Seat
from shared.events import Change
from shared.handler import Cause, Emit

State = Literal["recorded", "case", "joined", "dead"]


class Outcome(Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of a feedback; `fingerprint` tells a repetition from a conflict."""

    id: UUID
    state: State
    fingerprint: str
    case_id: UUID | None = None


@dataclass(slots=True)
class _Told:
    """The newest version of a case, why it came to be, and the changes before it in the same decision."""

    step: Step
    cause: Cause
    earlier: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Changes:
    """What a decision wants stored. `files` hold each case's last version, `before` the version that was
    read (None: a new case), `entries` every version's history, `moved` feedbacks with their new case."""

    outcomes: list[Outcome] = field(default_factory=list)
    files: dict[UUID, CaseFile] = field(default_factory=dict)
    before: dict[UUID, int | None] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    pools: dict[str, dict[str, Seat]] = field(default_factory=dict)
    moved: dict[UUID, Sequence[UUID]] = field(default_factory=dict)
    _told: dict[UUID, _Told] = field(default_factory=dict)

    def add(self, step: Step, cause: Cause, before: int | None) -> None:
        """A case's next version; `before` is the version that was read, if this is the first change of it."""
        case_id = step.entry.case_id
        self.files[case_id] = step.file
        self.before.setdefault(case_id, before)
        self.entries.append(step.entry)
        told = self._told.get(case_id)
        if told is None:
            self._told[case_id] = _Told(step, cause)
            return
        told.earlier.append(told.step.entry.change)
        told.step, told.cause = step, cause

    def events(self) -> list[Emit]:
        """One for each case that has changed: its last version, with all that happened to it
        (docs/adr/0021-a-case-is-told-once-a-transaction.md)."""
        return [tell(told.step, told.cause, tuple(told.earlier)) for told in self._told.values()]
