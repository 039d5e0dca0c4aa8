"""Several departments take their turn in one batch, and one case may be two departments' business."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

from services.routing.domain.assignment import Heir, Roster
from services.routing.domain.case_file import Books, CaseFile, Counted
from services.routing.domain.changes import Changes
from services.routing.domain.giving import decide_assignments
from services.routing.domain.pool import Seat
from services.routing.domain.roster import Absence
from services.routing.domain.turn import Turn
from shared import ids
from shared.events import Customer, FeedbackReceived
from shared.handler import Batch, Cause, Decision, Partition
from tests.support.cases import NOW, POLICY, case_file, member, roster
from tests.support.desk import Desk
from tests.support.office import policy_of

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


def glass(number: int, at: datetime) -> FeedbackReceived:
    """A complaint of somebody else each time, for those who work with glass."""
    return FeedbackReceived(
        id=ids.signal_id("feedback", "turns", str(number)), source="turns", kind="complaint", language="zh",
        category="goods.glass", severity="low", urgency="low", customer=Customer(id=f"c{number}"),
        occurred_at=at, received_at=at,
    )  # fmt: skip


def test_who_leaves_is_missed_though_nothing_waited_when_they_had_come_back() -> None:
    desk, room = Desk(policy_of(0), NOW), 5

    def away(hours: int) -> None:
        for person in ("ann", "abe"):
            desk.shelf.away[person] = Absence(desk.now, desk.now + timedelta(hours=hours))
        desk.look()
        turns()

    def turns() -> None:
        while desk.asked:
            asked, desk.asked = desk.asked, []
            desk.take(*asked)

    desk.take(*(glass(number, NOW) for number in range(room + 1)))
    turns()
    away(0)
    away(1)
    away(0)
    desk.take(glass(room + 1, NOW))
    turns()
    away(1)
    departments = Counter(file.case.department for file in desk.shelf.cases.values())
    assert departments == {"goods": room, "help": 2}, "what waits goes to the backup, each time"


def test_a_replica_with_an_older_policy_takes_nobody_for_gone_until_it_has_the_newer_one() -> None:
    """A new policy reaches replicas one by one: whom an older one does not know has come, not left."""
    desk = Desk(policy_of(0), NOW)

    def look() -> None:
        desk.look()
        asked, desk.asked = desk.asked, []
        if asked:
            desk.take(*asked)

    def ends() -> list[tuple[str, str]]:
        return [(file.case.department, file.case.owner) for file in desk.shelf.cases.values()]

    desk.take(*(glass(number, NOW) for number in range(2)))
    look()
    assert sorted(ends()) == [("goods", "abe"), ("goods", "ann")]
    desk.shelf.newest, desk.policy = desk.policy.version, policy_of(4)  # which has no goods and no ann
    for _ in range(3):
        look()
    assert sorted(ends()) == [("goods", "abe"), ("goods", "ann")]

    older, desk.policy = desk.policy, policy_of(0)
    desk.take(glass(2, NOW))  # at a replica that has the newer one
    desk.policy = older
    look()
    assert ("goods", "") in ends(), "what a new department is given waits for a replica that knows it"
    assert all(file.books.waiting for file in desk.shelf.cases.values() if not file.case.owner)

    desk.shelf.newest = desk.policy.version
    for _ in range(4):
        look()
    assert {department for department, _ in ends()} == {"help"}
