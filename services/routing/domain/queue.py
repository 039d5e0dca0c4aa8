"""What a department's turn looks for among the cases that wait (docs/domain.md 2.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.routing.domain.assignment import Roster
from services.routing.domain.case_file import CaseFile
from services.routing.domain.pool import Member, Seat

_UNUSED = Seat()


class Taker(NamedTuple):
    """A member, and the priorities of which a case would fit."""

    member: Member
    priorities: tuple[str, ...]


class Search(NamedTuple):
    """What of a department's queue a turn can do something with: cases that one of the `takers` could be
    given as things are, and, with a `backup`, those that none of `idle` could, for they go there: all who are
    there, each as if they had no case."""

    department: str
    takers: Sequence[Taker]
    idle: Sequence[Taker] = ()
    backup: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing can be found."""
        return not self.takers and not self.backup


def search(
    roster: Roster, seats: Mapping[str, Seat], asked: Iterable[CaseFile], load: Mapping[str, int],
    *, others: bool,
) -> Search:  # fmt: skip
    """What to look for in the queue. What the asked cases weigh may come back to their owners in this turn.

    `load`: what a case of each priority weighs. `others`: people have changed, so what nobody could do is
    looked for as well; otherwise only where nobody is there at all.
    """
    back = Counter[str]()
    for file in asked:
        if file.books.counted.department == roster.department:
            back[file.books.counted.owner] += file.books.counted.weight
    there = roster.members.values()
    rooms = ((one, one.capacity - seats.get(one.id, _UNUSED).load + back[one.id]) for one in there)
    takers = _takers(rooms, load)
    if not roster.backup or not (others or not there):
        return Search(roster.department, takers)
    idle = _takers(((member, member.capacity) for member in there), load)
    return Search(roster.department, takers, idle, roster.backup)


def _takers(rooms: Iterable[tuple[Member, int]], load: Mapping[str, int]) -> list[Taker]:
    """Those in whose room a case of some priority fits."""
    fitting = (
        Taker(member, tuple(priority for priority, weight in load.items() if weight <= room))
        for member, room in rooms
    )
    return [taker for taker in fitting if taker.priorities]
