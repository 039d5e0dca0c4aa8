"""The seats of a department while its turn is taken, and the order in which its members get cases."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Seat(Struct, frozen=True, omit_defaults=True):
    """A person's place in a pool: weighted open load, and when they were given a case last."""

    load: int = 0
    last_assigned: datetime = NEVER


_UNUSED = Seat()
Wanted = tuple[tuple[str, ...], str]
"""Skills and language that a case asks for."""


class Member(NamedTuple):
    """What the policy says of a person at this moment; `starts` is the next working moment (now: at work)."""

    id: str
    capacity: int
    skills: frozenset[str]
    languages: frozenset[str]
    starts: datetime


class _Place(NamedTuple):
    """A member in a line: whoever works first, carries least and was given a case longest ago comes first."""

    starts: datetime
    load: int
    last_assigned: datetime
    name: str
    member: Member


@dataclass(slots=True)
class Pool:
    """The seats, and a line of members for each kind of case. Whoever is given a case moves back in a line
    when it is next looked at, so that a turn of many cases does not look through everybody for each."""

    seats: dict[str, Seat]
    _lines: dict[Wanted, list[_Place]] = field(default_factory=dict)

    def seat(self, owner: str) -> Seat:
        return self.seats.get(owner, _UNUSED)

    def add(self, owner: str, weight: int) -> None:
        seat = self.seat(owner)
        self.seats[owner] = Seat(max(0, seat.load + weight), seat.last_assigned)
        if weight < 0:
            self._lines.clear()  # somebody moves forward, where no line would look for them

    def given(self, owner: str, at: datetime) -> None:
        self.seats[owner] = Seat(self.seat(owner).load, at)

    def has_room(self, member: Member, weight: int) -> bool:
        return self.seat(member.id).load + weight <= member.capacity

    def first(self, wanted: Wanted, able: Iterable[Member], weight: int, *, avoid: str, now: datetime) -> str:
        """The first of the members that are able to do what is wanted who has room for `weight`; "" if none
        has."""
        line = self._lines.get(wanted)
        if line is None:
            line = self._lines[wanted] = sorted(self._place(member, now) for member in able)
        at = 0
        while at < len(line):
            place = line[at]
            seat = self.seat(place.name)
            if seat.load != place.load or seat.last_assigned != place.last_assigned:
                del line[at]
                insort(line, place._replace(load=seat.load, last_assigned=seat.last_assigned))
            elif seat.load + weight <= place.member.capacity and place.name != avoid:
                return place.name
            else:
                at += 1
        return ""

    def _place(self, member: Member, now: datetime) -> _Place:
        seat = self.seat(member.id)
        return _Place(max(member.starts, now), seat.load, seat.last_assigned, member.id, member)
