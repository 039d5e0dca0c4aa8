"""New cases get owners at once, where this replica writes the pool (docs/adr/0015), as sentences."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.routing.domain.arriving import Desk, Known, decide_feedback
from services.routing.domain.case_file import Books, CaseFile, Counted
from services.routing.domain.changes import Changes
from services.routing.domain.pool import Seat
from shared import ids
from shared.events import AssignmentRequested, CaseChanged, Customer, FeedbackReceived
from shared.handler import Batch, Cause, Decision, Partition, Received
from tests.support.cases import NOW, POLICY, case_file
from tests.support.seals import unsealed

DEPARTMENT = "logistics"
STAFF = [name for name, person in POLICY.people.items() if person.department == DEPARTMENT]
AGENT = "chen"
FULL = {name: Seat(load=POLICY.people[name].capacity) for name in STAFF}


def complaint(number: int, customer: str = "", **fields: Any) -> FeedbackReceived:
    return FeedbackReceived(
        id=ids.signal_id("feedback", "shop", str(number)),
        source="shop",
        external_id=str(number),
        kind="complaint",
        language="zh",
        occurred_at=NOW,
        received_at=NOW,
        text="快递箱子压坏了",
        customer=Customer(id=customer or f"C-{number}"),
        **fields,
    )


def known_case(**fields: Any) -> CaseFile:
    """A case of AGENT about damage, which the pool counts once."""
    given: dict[str, Any] = {"category": "logistics.damage", "customer": Customer(id="C"), "owner": AGENT}
    return case_file(Books(counted=Counted(DEPARTMENT, AGENT, 1)), **given | fields)


def decided(
    *feedbacks: FeedbackReceived, desks: dict[str, Desk] | None = None, known: tuple[CaseFile, ...] = ()
) -> Decision[Changes]:
    """The feedbacks in one batch, each from a partition of its own."""
    records = [
        Received(one, Cause(Partition("cqm.feedback.v1", number)), number)
        for number, one in enumerate(feedbacks)
    ]
    return decide_feedback(Batch(records, NOW), Known({}, list(known), unsealed, desks or {}), POLICY)


def told(decision: Decision[Changes]) -> list[tuple[int, str]]:
    events = [emit.event for emit in decision.events if isinstance(emit.event, CaseChanged)]
    return [(version, change.type) for event in events for version, change in event.versions()]


def requests(decision: Decision[Changes]) -> int:
    return sum(isinstance(emit.event, AssignmentRequested) for emit in decision.events)


def test_at_a_desk_the_case_is_stored_once_with_its_owner_and_both_versions_are_told() -> None:
    decision = decided(complaint(1), desks={DEPARTMENT: Desk({}, {})})
    (file,) = decision.changes.files.values()
    assert file.case.owner in STAFF and file.case.version == 2
    assert decision.changes.before == {file.case.id: None}
    assert [entry.version for entry in decision.changes.entries] == [1, 2]
    assert told(decision) == [(1, "opened"), (2, "assigned")] and len(decision.events) == 1
    assert decision.changes.pools[DEPARTMENT][file.case.owner].load == file.books.counted.weight > 0


def test_without_a_desk_the_writer_of_the_pool_is_asked() -> None:
    decision = decided(complaint(1), desks={"quality": Desk({}, {})})
    (file,) = decision.changes.files.values()
    assert file.case.owner == "" and file.case.version == 1 and decision.changes.pools == {}
    assert told(decision) == [(1, "opened")] and requests(decision) == 1


def test_a_full_department_queues_at_once_and_writes_its_pool_though_no_load_has_changed() -> None:
    decision = decided(complaint(1), desks={DEPARTMENT: Desk(FULL, {})})
    (file,) = decision.changes.files.values()
    assert file.books.waiting and told(decision) == [(1, "opened"), (2, "queued")]
    assert decision.changes.pools == {DEPARTMENT: FULL}


def test_a_case_that_is_joined_in_the_batch_that_opens_it_is_given_with_its_evidence() -> None:
    decision = decided(complaint(1, "C"), complaint(2, "C"), desks={DEPARTMENT: Desk({}, {})})
    (file,) = decision.changes.files.values()
    assert len(file.case.feedback_ids) == 2 and file.case.owner
    versions = [entry.version for entry in decision.changes.entries]
    assert versions == list(range(1, file.case.version + 1))
    assert decision.changes.before == {file.case.id: None}


def test_graver_evidence_is_counted_at_the_desk_and_nobody_is_asked() -> None:
    file, desk = known_case(status="assigned", priority="P4"), Desk({AGENT: Seat(load=1)}, {})
    said = complaint(1, "C", severity="critical", urgency="high")
    decision = decided(said, desks={DEPARTMENT: desk}, known=(file,))
    after = decision.changes.files[file.case.id]
    assert after.case.priority == "P1" and after.case.owner == AGENT and after.books.counted.weight == 3
    assert decision.changes.pools == {DEPARTMENT: {AGENT: Seat(load=3)}}
    assert told(decision) == [(2, "joined")] and requests(decision) == 0
    assert decision.changes.before == {file.case.id: 1}


def test_a_case_that_evidence_reopens_goes_to_its_owner_of_before_at_the_desk() -> None:
    file = known_case(status="resolved", resolved_at=NOW - timedelta(days=1))
    decision = decided(complaint(1, "C"), desks={DEPARTMENT: Desk({AGENT: Seat(load=1)}, {})}, known=(file,))
    after = decision.changes.files[file.case.id]
    assert after.case.owner == AGENT and after.case.status == "assigned"
    assert told(decision) == [(2, "reopened"), (3, "assigned")] and requests(decision) == 0


def test_what_is_told_of_a_case_stays_with_the_record_that_opened_it() -> None:
    decision = decided(complaint(1), complaint(2), desks={DEPARTMENT: Desk({}, {})})
    partitions = {
        emit.event.case.id: emit.cause.partition
        for emit in decision.events
        if isinstance(emit.event, CaseChanged)
    }
    for emit in decision.events:
        assert isinstance(emit.event, CaseChanged)
        assert emit.cause.partition == partitions[emit.event.case.id]
    assert len(set(partitions.values())) == 2
