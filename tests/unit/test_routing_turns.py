"""Several departments take their turn in one batch, and one case may be two departments' business."""

from __future__ import annotations

from dataclasses import replace

from services.routing.domain.assignment import Heir, Roster, Seat
from services.routing.domain.case_file import Books, CaseFile, Counted
from services.routing.domain.turn import Turn
from services.routing.handlers import decide_assignments
from services.routing.store import Changes
from shared.handler import Batch, Cause, Decision, Partition
from tests.support.cases import NOW, POLICY, case_file, member, roster

CAUSE = Cause(Partition("cqm.assignments.v1", 0))
LOGISTICS = roster(member("chen"))
QUALITY = replace(roster(member("qian")), department="quality")
COUNTED_IN_QUALITY = Books(counted=Counted("quality", "qian", 1))


def turn(there: Roster, file: CaseFile, load: int = 0, heir: Heir | None = None) -> Turn:
    seats = {name: Seat(load=load) for name in there.members if load}
    return Turn(there, seats, [file], [], CAUSE, heir)


def decided(*turns: Turn) -> Decision[Changes]:
    return decide_assignments(Batch([], NOW), list(turns), POLICY)


def test_who_lets_a_case_go_first_leaves_it_to_who_takes_it_in_the_same_batch() -> None:
    file = case_file(COUNTED_IN_QUALITY)
    decision = decided(turn(QUALITY, file, load=1), turn(LOGISTICS, file))
    (stored,) = decision.changes.files.values()
    assert (stored.case.owner, stored.case.version) == ("chen", 2)
    assert stored.books.counted == Counted("logistics", "chen", 1)
    assert decision.changes.pools["quality"]["qian"].load == 0
    assert decision.changes.before == {file.case.id: 1}


def test_what_a_closed_department_handed_on_is_not_undone_by_who_lets_the_case_go() -> None:
    file, closed = case_file(COUNTED_IN_QUALITY), roster()
    decision = decided(turn(closed, file, heir=Heir("service", "zhou")), turn(QUALITY, file, load=1))
    (stored,) = decision.changes.files.values()
    assert (stored.case.department, stored.case.version) == ("service", 2)
    assert not stored.books.counted.weight
    assert [entry.version for entry in decision.changes.entries] == [2]
