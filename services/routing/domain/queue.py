"""What a department's turn looks for among the cases that wait (docs/domain.md 2.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.routing.domain.assignment import Roster
from services.routing.domain.case_file import CaseFile
from services.routing.domain.pool import Member, Seat

_UNUSED = Seat()


class Taker(NamedTuple):
    """A member who has room in a turn, and the priorities of which one more case would fit."""

    member: Member
    priorities: tuple[str, ...]


class Search(NamedTuple):
    """What of a department's queue a turn can do something with: cases that one of the `takers` could be
    given, and, with a `backup`, those that none of the members could, however idle, for they go there."""

    department: str
    takers: Sequence[Taker]
    members: Collection[Member] = ()
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
    takers = []
    for member in roster.members.values():
        room = member.capacity - seats.get(member.id, _UNUSED).load + back[member.id]
        if fitting := tuple(priority for priority, weight in load.items() if weight <= room):
            takers.append(Taker(member, fitting))
    stranded = others or not roster.members
    return Search(roster.department, takers, roster.members.values(), roster.backup if stranded else "")
