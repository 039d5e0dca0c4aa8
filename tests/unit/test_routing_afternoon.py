"""An afternoon of a department in any order: after every step the cases are what a second telling says.

The second telling (tests/support/afternoon.py) is made from docs/domain.md 1 and 2. Turns of departments are
taken only when something was asked, so that every end of the afternoon shows that what is asked suffices.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, get_args
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.routing.actions import Asked, Stale
from services.routing.domain import action_types as actions
from services.routing.domain.action_types import ActionName, AnyAction, name_of
from services.routing.domain.audit import flaws_of
from services.routing.domain.case_file import CaseFile
from services.routing.domain.lifecycle import Evidence, Illegal
from services.routing.domain.roster import Absence
from shared import ids
from shared.events import CaseLabels, Customer, EscalationRaised, FeedbackReceived, Severity, Urgency
from shared.principal import Principal
from tests.support.afternoon import ENDED, LEGAL, Afternoon, Refused
from tests.support.desk import Desk
from tests.support.office import CATEGORIES, OFFICES, USUAL, policy_of
from tests.support.retelling import facts_of

NOON = datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC)
PEOPLE = sorted(USUAL["people"])
DEPARTMENTS = sorted(USUAL["departments"])
TEXTS = st.sampled_from(["x"] * 9 + [" "])
NUMBERS = st.integers(0, 60)
AFTERNOONS = int(os.environ.get("CQM_AFTERNOONS", "150"))
"""`CQM_AFTERNOONS=3000 pytest --hypothesis-seed=1 tests/unit/test_routing_afternoon.py` plays thousands."""
PATIENCE = 50
"""Rounds of turns after which everything that was asked is done."""
SEVERITIES, URGENCIES = get_args(Severity), get_args(Urgency)


@st.composite
def complaints(draw: st.DrawFn) -> dict[str, Any]:
    """What a customer says; the same `number` again is the same feedback."""
    return {
        "number": draw(st.integers(0, 40)),
        "customer": draw(st.sampled_from(["c1", "c2", "c3"])),
        "category": draw(st.sampled_from(CATEGORIES)),
        "severity": draw(st.sampled_from(SEVERITIES)),
        "urgency": draw(st.sampled_from(URGENCIES)),
        "language": draw(st.sampled_from(["zh", "en", "other"])),
        "gold": draw(st.booleans()),
        "hours_ago": draw(st.sampled_from([0, 0, 1, 5])),
    }


MOVES: dict[str, st.SearchStrategy[AnyAction]] = {
    "acknowledge": st.just(actions.Acknowledge()),
    "start": st.just(actions.Start()),
    "reply": st.builds(actions.Reply, TEXTS, st.booleans()),
    "customer_message": st.builds(actions.CustomerMessage, TEXTS),
    "note": st.builds(actions.Note, TEXTS),
    "hold": st.builds(actions.HoldFor, st.sampled_from(["customer", "internal"]), TEXTS),
    "resume": st.just(actions.Resume()),
    "assign": st.builds(actions.Assign, st.sampled_from([*PEOPLE, "nobody"])),
    "transfer": st.builds(actions.Transfer, st.sampled_from([*DEPARTMENTS, "nowhere"]), TEXTS),
    "prioritise": st.builds(
        actions.Prioritise, TEXTS, st.sampled_from([None, *SEVERITIES]), st.sampled_from([None, *URGENCIES])
    ),
    "resolve": st.builds(actions.Resolve, TEXTS, st.sampled_from(["carrier"] * 5 + ["bad luck"])),
    "reopen": st.builds(actions.Reopen, TEXTS),
    "merge": st.builds(actions.Merge, NUMBERS.map(str)),
    "cancel": st.builds(actions.Cancel, TEXTS),
    "close": st.builds(actions.Close, st.sampled_from([None, True, False])),
}
assert MOVES.keys() == set(get_args(ActionName))


class Hand(NamedTuple):
    """Who acts, whether only as the case allows, how many versions behind, and how often they click."""

    actor: str
    fits: bool
    behind: int
    clicks: int


HANDS = st.builds(
    Hand, st.sampled_from(PEOPLE), st.sampled_from([True] * 9 + [False]), st.sampled_from([0] * 14 + [1]),
    st.sampled_from([1, 1, 2]),
)  # fmt: skip


class AnAfternoon(RuleBasedStateMachine):
    """The desk (the code) and the model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(policy_of(0), NOON)
        self.model = Afternoon(OFFICES[0])
        self.heard: dict[int, FeedbackReceived] = {}

    @initialize(batch=st.lists(complaints(), min_size=8, max_size=16))
    def the_morning(self, batch: list[dict[str, Any]]) -> None:
        """Nobody begins with an empty desk."""
        self.customers_speak(batch=batch, at_once=False)
        self.all_that_was_asked_is_done()

    @rule(batch=st.lists(complaints(), min_size=1, max_size=3), at_once=st.booleans())
    def customers_speak(self, batch: list[dict[str, Any]], at_once: bool) -> None:
        """`at_once`: the one who opens the cases may also give them out, and settle what evidence reopened
        or made graver, where nobody waits."""
        said = [self.heard.setdefault(one["number"], self._feedback(one)) for one in batch]
        queues = {one["department"] for one in self.model.cases.values() if one["waiting"]}
        self.desk.writes_pools = at_once
        self.desk.take(*said)
        due: dict[UUID, None] = {}
        for one in said:
            before = self._matters_to_a_pool()
            outcome = self.desk.shelf.known[one.id]
            self.model.hear(facts_of(one), self.desk.now, lambda outcome=outcome: outcome.case_id)
            after = self._matters_to_a_pool()
            due |= {which: None for which in after if after[which] != before.get(which)}
        asked = defaultdict[str, list[UUID]](list)
        for which in due if at_once else ():
            asked[self.model.cases[which]["department"]].append(which)
        for department, here in asked.items():
            if department in self.model.office["departments"] and department not in queues:
                self.model.turn(department, here, self.desk.now, self._became, just_opened=True)

    def _matters_to_a_pool(self) -> dict[UUID, tuple[bool, str]]:
        return {which: (one["status"] in ENDED, one["priority"]) for which, one in self.model.cases.items()}

    def _feedback(self, one: dict[str, Any]) -> FeedbackReceived:
        now = self.desk.now
        customer = Customer(id=one["customer"], tier="gold" if one["gold"] else "")
        given = {name: one[name] for name in ("category", "severity", "urgency", "language")}
        identity = ids.signal_id("feedback", "afternoon", str(one["number"]))
        return FeedbackReceived(
            id=identity, source="afternoon", kind="complaint", customer=customer, received_at=now,
            occurred_at=now - timedelta(hours=one["hours_ago"]), **given,
        )  # fmt: skip

    @precondition(lambda self: self.model.cases)
    @rule(data=st.data(), which=NUMBERS, hands=st.lists(HANDS, min_size=1, max_size=8))
    def people_work_on_a_case(self, data: st.DataObject, which: int, hands: list[Hand]) -> None:
        """Mostly they do what is legal, and mostly they have seen the newest version."""
        case_id = self._case(which)
        for hand in hands:
            legal = sorted(LEGAL[self.model.cases[case_id]["status"]])
            move = data.draw(
                MOVES[data.draw(st.sampled_from(legal if legal and hand.fits else sorted(MOVES)))]
            )
            if isinstance(move, actions.Merge):
                move = actions.Merge(str(self._case(int(move.into))))
            self._do(case_id, move, hand)
            self.cases_are_as_the_model_says()

    def _do(self, case_id: UUID, move: AnyAction, hand: Hand) -> None:
        key = f"k{len(self.desk.told)}" if hand.clicks > 1 else ""
        seen = (str(self.desk.shelf.cases[case_id].case.version - hand.behind),)
        expected = "stale" if hand.behind else self._expected(case_id, move)
        for _ in range(hand.clicks):
            assert self._outcome(case_id, Asked(move, Principal(hand.actor), seen, key)) == expected

    def _expected(self, case_id: UUID, move: AnyAction) -> str:
        said = {name: getattr(move, name) for name in move.__struct_fields__}
        if "wait_for" in said:
            said["waits_for"] = said.pop("wait_for")
        if "into" in said:
            said["into"] = UUID(said["into"])
        try:
            self.model.act(case_id, name_of(move), self.desk.now, **said)
        except Refused as refused:
            return refused.why
        return "done"

    def _outcome(self, case_id: UUID, asked: Asked) -> str:
        try:
            self.desk.act(case_id, asked)
        except Stale:
            return "stale"
        except Illegal as error:
            status = self.desk.shelf.cases[case_id].case.status
            assert set(error.allowed) == LEGAL[status] - {name_of(asked.action)}
            return "illegal"
        except Evidence as error:
            return error.pointer
        return "done"

    @precondition(lambda self: self.desk.asked)
    @rule(picks=st.lists(NUMBERS, min_size=1, max_size=4), again=st.booleans())
    def departments_take_their_turn(self, picks: list[int], again: bool) -> None:
        """Some of what was asked, in any order; `again`: it will come once more."""
        picked = [self.desk.asked[pick % len(self.desk.asked)] for pick in picks]
        if not again:
            self.desk.asked = [one for one in self.desk.asked if one not in picked]
        self.desk.take(*picked)
        for department in dict.fromkeys(one.department for one in picked):
            asked = [one.case_id for one in picked if one.department == department]
            self.model.turn(department, asked, self.desk.now, self._became)

    def _became(self, case_id: UUID) -> tuple[str, str]:
        case = self.desk.shelf.cases[case_id].case
        return case.owner, case.department

    @precondition(lambda self: self.model.cases)
    @rule(which=NUMBERS, action=st.sampled_from(["raise_priority", "reassign"]), step=st.integers(0, 3))
    def a_promise_escalates(self, which: int, action: Any, step: int) -> None:
        """The same `step` again is the same escalation."""
        case = self.desk.shelf.cases[self._case(which)].case
        escalation = EscalationRaised(
            id=ids.name_id(case.id.hex, action, str(step)), case_id=case.id, case_version=1, step=step,
            target="resolution", epoch=1, action=action, due_at=NOON, step_at=NOON, at=NOON,
            labels=CaseLabels(department="goods", priority="P3", kind="complaint", channel="web"),
        )  # fmt: skip
        self.desk.take(escalation, escalation)
        self.model.escalate(case.id, action, escalation.id, self.desk.now)

    @rule(minutes=st.sampled_from([1, 30, 130, 600, 1500, 3000, 5000]))
    def time_passes(self, minutes: int) -> None:
        self.desk.time.advance(minutes * 60)
        self._look()

    @rule(person=st.sampled_from(PEOPLE), hours=st.sampled_from([0, 1, 30]))
    def somebody_is_away(self, person: str, hours: int) -> None:
        """For some hours; none: they are back."""
        span = self.desk.now, self.desk.now + timedelta(hours=hours)
        self.model.away[person], self.desk.shelf.away[person] = span, Absence(*span)
        self._look()

    @rule(place=st.integers(0, len(OFFICES) - 1))
    def the_policy_changes(self, place: int) -> None:
        self.desk.policy, self.model.office = policy_of(place), OFFICES[place]
        self._look()

    def _look(self) -> None:
        self.desk.look()
        self.model.look(self.desk.now)

    @rule()
    def all_that_was_asked_is_done(self) -> None:
        """Then everybody has as much as the pools say, and nothing waits that somebody could take."""
        self._look()
        for _ in range(PATIENCE):
            if not self.desk.asked:
                return self.nothing_is_left_to_do()
            self.departments_take_their_turn(list(range(len(self.desk.asked))), again=False)
            self._look()
        raise AssertionError("what is asked has no end")

    def nothing_is_left_to_do(self) -> None:
        for one in self.model.cases.values():
            if one["status"] in ("merged", "cancelled", "resolved", "closed"):
                assert one["counted"] is None
            elif one["owner"]:
                assert one["counted"][:2] == (one["department"], one["owner"])
            else:
                assert one["waiting"] and one["counted"] is None
                assert not self.model.best(one, one["department"], self.desk.now), "somebody could take it"
                assert not self.model.backup_for(one, one["department"], self.desk.now)

    def teardown(self) -> None:
        self.all_that_was_asked_is_done()
        self.all_is_as_it_should_be()

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        self.cases_are_as_the_model_says()
        self.pools_count_what_the_model_counts()
        self.histories_are_whole_and_events_say_what_is_stored()
        self.holds_follow_each_other_and_only_the_last_may_be_open()

    def cases_are_as_the_model_says(self) -> None:
        stored = {case_id: _seen(file) for case_id, file in self.desk.shelf.cases.items()}
        expected = {which: {name: one[name] for name in _NAMES} for which, one in self.model.cases.items()}
        assert stored == expected
        for which, one in self.model.cases.items():
            assert self.desk.shelf.cases[which].case.linked_to in (one["after"] or {None})

    def pools_count_what_the_model_counts(self) -> None:
        counted = {
            (department, name): seat.load
            for department, seats in self.desk.shelf.seats.items()
            for name, seat in seats.items()
            if seat.load
        }
        assert counted == {pair: self.model.load(*pair) for pair in set(self._counted_for())}

    def _counted_for(self) -> Iterator[tuple[str, str]]:
        for one in self.model.cases.values():
            if one["counted"]:
                yield one["counted"][:2]

    def histories_are_whole_and_events_say_what_is_stored(self) -> None:
        changes = [
            ((event.case.id, version), change)
            for event in self.desk.told
            for version, change in event.versions()
        ]
        told, newest = dict(changes), {event.case.id: event.case for event in self.desk.told}
        assert len(told) == len(changes), "a version was told twice"
        for case_id, file in self.desk.shelf.cases.items():
            entries = self.desk.shelf.history[case_id]
            assert not list(flaws_of(case_id, file, entries))
            assert [entry.version for entry in entries] == list(range(1, file.case.version + 1))
            assert [told[case_id, entry.version] for entry in entries] == [e.change for e in entries]
            assert newest[case_id] == file.case
        assert len(told) == sum(file.case.version for file in self.desk.shelf.cases.values())

    def holds_follow_each_other_and_only_the_last_may_be_open(self) -> None:
        for file in self.desk.shelf.cases.values():
            end = datetime.min.replace(tzinfo=UTC)
            for place, hold in enumerate(file.case.holds, 1):
                assert hold.end or place == len(file.case.holds)
                assert end <= hold.start <= (hold.end or hold.start)
                end = hold.end or hold.start
            waits = bool(file.case.holds) and file.case.holds[-1].end is None
            assert waits == file.case.status.startswith("pending")

    def _case(self, which: int) -> UUID:
        found = list(self.model.cases)
        return found[which % len(found)]  # type: ignore[no-any-return]  # the model's ids are the code's


def _seen(file: CaseFile) -> dict[str, Any]:
    """A stored case as the model tells it."""
    case, books = file.case, file.books
    return {
        "version": case.version, "status": case.status, "owner": case.owner, "holder": case.holder,
        "department": case.department, "accountable": case.accountable, "skills": case.skills,
        "severity": case.severity, "urgency": case.urgency, "priority": case.priority,
        "evidence": list(case.feedback_ids), "holds": [[h.status, h.start, h.end] for h in case.holds],
        "opened": case.opened_at, "updated": case.updated_at, "unanswered": case.unanswered_since,
        "assigned": case.assigned_at, "acknowledged": case.acknowledged_at, "resolved": case.resolved_at,
        "first_reply": case.first_reply_at, "closed": case.closed_at, "reopened": case.reopened,
        "cause": case.cause_code, "satisfied": case.satisfied, "merged_into": case.merged_into,
        "acknowledge_by": books.acknowledge_by, "waiting": books.waiting,
    }  # fmt: skip


_NAMES = (
    "version", "status", "owner", "holder", "department", "accountable", "skills", "severity", "urgency",
    "priority", "evidence", "holds", "opened", "updated", "unanswered", "assigned", "acknowledged",
    "resolved", "first_reply", "closed", "reopened", "cause", "satisfied", "merged_into", "acknowledge_by",
    "waiting",
)  # fmt: skip


TestAnAfternoon = AnAfternoon.TestCase
TestAnAfternoon.settings = settings(
    max_examples=AFTERNOONS, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
