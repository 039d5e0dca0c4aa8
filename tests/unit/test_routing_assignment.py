"""Who gets a case (docs/domain.md 2), as sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.action_types import Resolve
from services.routing.domain.assignment import (
    Assigned,
    Heir,
    Roster,
    assign,
    choose,
    dissolve,
    give_by_hand,
    settle,
)
from services.routing.domain.case_file import Books, CaseFile, Counted
from services.routing.domain.lifecycle import Evidence, act
from services.routing.domain.pool import Pool, Seat
from services.routing.domain.queue import search
from tests.support.cases import NOW, POLICY, WEIGHTS, case_file, member, roster, weigh


def given_out(there: Roster, pool: Pool, *asked: CaseFile, waiting: tuple[CaseFile, ...] = ()) -> Assigned:
    return assign(there, pool, asked, waiting, now=NOW, weight=weigh)


def test_the_least_loaded_member_gets_the_case() -> None:
    pool = Pool({"chen": Seat(load=2), "zhao": Seat(load=1)})
    done = given_out(roster(member("chen"), member("zhao")), pool, file := case_file())
    assert done.files[file.case.id].case.owner == "zhao"
    assert pool.seats["zhao"].load == 2


def test_among_equals_it_is_the_one_who_waited_longest() -> None:
    pool = Pool({"chen": Seat(last_assigned=NOW), "zhao": Seat(last_assigned=NOW - timedelta(hours=1))})
    done = given_out(roster(member("chen"), member("zhao")), pool, file := case_file())
    assert done.files[file.case.id].case.owner == "zhao"


def test_a_case_goes_only_to_who_has_the_skill_and_the_language() -> None:
    there = roster(
        member("a", languages=frozenset({"en"})),
        member("b", skills=frozenset({"damage"}), languages=frozenset({"en"})),
        member("c", skills=frozenset({"damage"})),
    )
    done = given_out(there, Pool({}), file := case_file(skills=("damage",)))
    assert done.files[file.case.id].case.owner == "c"


def test_a_case_in_another_language_may_go_to_anybody() -> None:
    there = roster(member("a", languages=frozenset({"en"})))
    done = given_out(there, Pool({}), file := case_file(language="other"))
    assert done.files[file.case.id].case.owner == "a"


def test_who_is_at_work_comes_before_who_comes_tomorrow() -> None:
    there = roster(member("tomorrow", starts=NOW + timedelta(hours=20)), member("now"))
    pool = Pool({"now": Seat(load=2)})
    assert choose(case_file(), there, pool, 1, NOW) == "now"


def test_nobody_free_means_the_queue_with_the_supervisor_as_holder_and_one_event_says_so() -> None:
    pool = Pool({"chen": Seat(load=5)})
    done = given_out(roster(member("chen")), pool, file := case_file())
    queued = done.files[file.case.id]
    assert (queued.case.holder, queued.case.owner, queued.books.waiting) == ("li", "", True)
    assert [step.entry.change.type for step in done.steps] == ["queued"]
    again = given_out(roster(member("chen")), pool, queued)
    assert again.steps == [] and again.files == {}


def test_a_weight_that_does_not_fit_any_more_waits_though_a_lighter_case_is_given() -> None:
    pool = Pool({"chen": Seat(load=3)})
    urgent, light = case_file(priority="P1"), case_file(priority="P4")
    done = given_out(roster(member("chen")), pool, urgent, light)
    assert done.files[urgent.case.id].books.waiting
    assert done.files[light.case.id].case.owner == "chen"


def test_the_queue_is_drained_most_urgent_first_then_oldest() -> None:
    new = case_file(priority="P3")
    old = case_file(Books(waiting=True), priority="P3", opened_at=NOW - timedelta(days=1))
    urgent = case_file(Books(waiting=True), priority="P2")
    done = given_out(roster(member("chen", capacity=3)), Pool({}), new, waiting=(old, urgent))
    assert [step.file.case.id for step in done.steps if step.file.case.owner] == [urgent.case.id, old.case.id]
    assert done.files[new.case.id].books.waiting


def test_asking_twice_for_the_same_case_changes_nothing() -> None:
    pool = Pool({})
    done = given_out(roster(member("chen")), pool, file := case_file())
    owned = done.files[file.case.id]
    again = given_out(roster(member("chen")), pool, owned)
    assert again.steps == [] and again.files == {} and pool.seats["chen"].load == 1


def test_an_ended_case_gives_its_weight_back_once() -> None:
    pool = Pool({"chen": Seat(load=3)})
    counted = Counted("logistics", "chen", 3)
    ended = case_file(Books(counted=counted), status="resolved", owner="chen", priority="P1")
    done = given_out(roster(member("chen")), pool, ended)
    assert pool.seats["chen"].load == 0
    given_out(roster(member("chen")), pool, done.files[ended.case.id])
    assert pool.seats["chen"].load == 0


def test_a_higher_priority_weighs_more_in_the_pool() -> None:
    pool = Pool({"chen": Seat(load=1)})
    raised = case_file(
        Books(counted=Counted("logistics", "chen", 1)), status="assigned", owner="chen", priority="P1"
    )
    given_out(roster(member("chen")), pool, raised)
    assert pool.seats["chen"].load == WEIGHTS["P1"]


def test_what_another_department_still_counts_is_left_to_its_writer() -> None:
    elsewhere = case_file(Books(counted=Counted("quality", "qian", 1)))
    pool = Pool({})
    done = given_out(roster(member("chen")), pool, elsewhere)
    assert done.steps == [] and pool.seats == {}


def test_who_lost_a_case_by_escalation_does_not_get_it_back_and_the_backup_comes_first() -> None:
    there = roster(member("chen"), member("zhao"), member("liu"))
    pool = Pool({"zhao": Seat(load=3)})
    assert choose(case_file(Books(avoid="chen", prefer="zhao")), there, pool, 1, NOW) == "zhao"
    assert choose(case_file(Books(avoid="chen")), there, pool, 1, NOW) == "liu"


def looked_for(
    there: Roster, seats: dict[str, Seat], *asked: CaseFile, others: bool = False
) -> dict[str, tuple[str, ...]]:
    """The priorities of one more case by who could take it."""
    found = search(there, seats, asked, WEIGHTS, others=others)
    return {taker.member.id: taker.priorities for taker in found.takers}


def test_a_full_department_does_not_read_its_queue_unless_something_comes_back() -> None:
    there, full = roster(member("chen", capacity=1)), {"chen": Seat(load=1)}
    assert search(there, full, [case_file()], WEIGHTS, others=False).is_idle
    ended = case_file(Books(counted=Counted("logistics", "chen", 1)), status="resolved", owner="chen")
    assert looked_for(there, full, ended) == {"chen": ("P3", "P4")}
    assert looked_for(there, {}) == {"chen": ("P3", "P4")}


def test_only_priorities_that_would_still_fit_are_looked_for_in_the_queue() -> None:
    there = roster(member("chen", capacity=3), member("zhao", capacity=2), member("liu", capacity=1))
    assert looked_for(there, {"liu": Seat(load=1)}) == {
        "chen": ("P1", "P2", "P3", "P4"),
        "zhao": ("P2", "P3", "P4"),
    }


def test_a_full_department_reads_its_queue_when_a_case_has_become_lighter() -> None:
    there, full = roster(member("chen", capacity=3)), {"chen": Seat(load=3)}
    lighter = case_file(
        Books(counted=Counted("logistics", "chen", 3)), status="assigned", owner="chen", priority="P3"
    )
    assert "chen" in looked_for(there, full, lighter)


def counted(owner: str, weight: int = 1, **fields: Any) -> CaseFile:
    """An open case that the pool counts."""
    books = Books(counted=Counted("logistics", owner, weight))
    return case_file(books, **{"status": "assigned", "owner": owner} | fields)


def test_who_has_left_the_department_loses_their_cases_to_those_who_stay() -> None:
    pool, file = Pool({"gone": Seat(load=1)}), counted("gone")
    done = given_out(roster(member("chen")), pool, file)
    assert done.files[file.case.id].case.owner == "chen"
    assert [step.entry.change.type for step in done.steps] == ["released", "assigned"]
    assert (pool.seats["gone"].load, pool.seats["chen"].load) == (0, 1)


def test_who_is_only_away_keeps_their_cases() -> None:
    pool, file = Pool({"away": Seat(load=1)}), counted("away")
    done = given_out(roster(member("chen"), away=("away",)), pool, file)
    assert done.steps == [] and pool.seats["away"].load == 1


def test_what_nobody_here_could_do_goes_to_the_backup_department_and_stays_accountable_here() -> None:
    there = roster(member("chen", skills=frozenset({"damage"})), backup="service")
    file = case_file(skills=("late",), accountable="wang")
    done = given_out(there, Pool({}), file)
    case = done.files[file.case.id].case
    assert (case.department, case.accountable, case.skills) == ("service", "wang", ("late",))
    assert done.steps[0].entry.change.data["accountable_to"] == "wang"


def test_what_weighs_more_than_anybody_here_may_carry_goes_to_the_backup_department() -> None:
    there = roster(
        member("chen", capacity=2), member("zhao", capacity=3, skills=frozenset()), backup="service"
    )
    skilled = replace(there, members={"chen": there.members["chen"]})
    heavy = case_file(priority="P1")
    (step,) = given_out(skilled, Pool({}), heavy).steps
    assert (
        step.file.case.department == "service" and "skill, language and capacity" in step.entry.change.reason
    )
    full = Pool({"zhao": Seat(load=1)})
    assert given_out(there, full, heavy).files[heavy.case.id].books.waiting, "zhao could when idle"


def test_what_is_too_heavy_for_anybody_is_looked_for_when_people_have_changed() -> None:
    there = roster(member("chen", capacity=2), member("zhao", capacity=0), backup="service")
    found = search(there, {"chen": Seat(load=2)}, [], WEIGHTS, others=True)
    assert [(one.member.id, one.priorities) for one in found.idle] == [("chen", ("P2", "P3", "P4"))]


def test_a_full_department_keeps_its_cases_in_the_queue_though_it_has_a_backup() -> None:
    there, pool = roster(member("chen", capacity=1), backup="service"), Pool({"chen": Seat(load=1)})
    done = given_out(there, pool, file := case_file())
    assert done.files[file.case.id].books.waiting and done.files[file.case.id].case.department == "logistics"


def test_a_case_goes_round_the_backups_once_and_then_waits() -> None:
    done = given_out(roster(backup="service"), Pool({}), file := case_file(Books(passed=("service",))))
    assert done.files[file.case.id].books.waiting


def test_an_empty_department_with_a_backup_looks_at_its_queue() -> None:
    assert not search(roster(backup="service"), {}, [], WEIGHTS, others=False).is_idle
    assert search(roster(), {}, [], WEIGHTS, others=True).is_idle


def test_what_nobody_could_do_is_looked_for_when_people_have_changed() -> None:
    full = {"chen": Seat(load=5)}
    assert search(roster(member("chen"), backup="service"), full, [], WEIGHTS, others=False).is_idle
    found = search(roster(member("chen"), backup="service"), full, [], WEIGHTS, others=True)
    assert found.backup == "service" and not found.takers


def test_the_cases_of_a_department_that_left_the_policy_go_to_its_heir_and_its_pool_is_emptied() -> None:
    pool, file = Pool({"chen": Seat(load=1)}), counted("chen", accountable="wang")
    closed = Roster("logistics", "", {}, frozenset())
    done = dissolve(closed, pool, [file], Heir("service", "zhou"), now=NOW, weight=weigh)
    case = done.files[file.case.id].case
    assert (case.department, case.owner, case.accountable, case.status) == ("service", "", "zhou", "new")
    assert pool.seats["chen"].load == 0 and not done.files[file.case.id].books.counted.weight


def by_hand(file: CaseFile, owner: str, there: Roster, pool: Pool) -> CaseFile:
    step = give_by_hand(file, owner, there, pool, weigh(file.case.priority), actor="li", now=NOW)
    return settle(step.file, pool, "logistics", weigh)


def test_a_supervisor_names_the_owner_whatever_the_skill_and_the_pool_counts_it_at_once() -> None:
    pool, file = Pool({"zhao": Seat(load=1)}), counted("zhao", skills=("damage",))
    after = by_hand(file, "chen", roster(member("chen"), member("zhao")), pool)
    assert (after.case.owner, after.case.status) == ("chen", "assigned")
    assert (pool.seats["zhao"].load, pool.seats["chen"].load) == (0, 1)


@pytest.mark.parametrize("owner", ["full", "nobody", "away", "zhao"])
def test_a_supervisor_cannot_overrule_room_absence_or_membership(owner: str) -> None:
    there = roster(member("full", capacity=2), member("zhao"), away=("away",))
    with pytest.raises(Evidence) as refused:
        by_hand(counted("zhao"), owner, there, Pool({"full": Seat(load=2), "zhao": Seat(load=1)}))
    assert refused.value.pointer == "/owner"


events = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(["P1", "P2", "P3", "P4"])),
        st.tuples(st.just("end"), st.integers(0, 30)),
        st.tuples(st.just("ask"), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(events, st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_nobody_is_ever_over_capacity_and_nobody_idle_while_a_case_that_fits_waits(
    history: list[tuple[str, object]], capacities: list[int]
) -> None:
    there = roster(*(member(f"m{n}", capacity) for n, capacity in enumerate(capacities)))
    pool, files, ended = Pool({}), dict[UUID, CaseFile](), set[UUID]()
    for what, which in history:
        if what == "open":
            file = case_file(priority=which)
        elif not files:
            continue
        else:
            file = list(files.values())[int(str(which)) % len(files)]
            if what == "end" and file.is_open:
                file = act(file, Resolve("x", "carrier"), actor="m", at=NOW, policy=POLICY).file
                ended.add(file.case.id)
        files[file.case.id] = file
        waiting = [one for one in files.values() if one.books.waiting]
        files |= given_out(there, pool, file, waiting=tuple(waiting)).files
        assert all(not files[case].is_open and not files[case].books.waiting for case in ended)
        loads = dict.fromkeys(there.members, 0)
        for one in files.values():
            if one.is_open and one.case.owner:
                loads[one.case.owner] += weigh(one.case.priority)
        assert {name: pool.seats.get(name, Seat()).load for name in there.members} == loads
        assert all(loads[name] <= there.members[name].capacity for name in loads)
        for one in files.values():
            if one.books.waiting and one.is_open:
                assert all(
                    loads[name] + weigh(one.case.priority) > there.members[name].capacity for name in loads
                )
