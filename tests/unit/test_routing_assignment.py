"""Who gets a case (docs/domain.md 2), as sentences."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.assignment import Assigned, Pool, Roster, Seat, assign, choose, may_give
from services.routing.domain.case_file import Books, CaseFile, Counted
from services.routing.domain.lifecycle import Resolve, act
from tests.support.cases import NOW, WEIGHTS, case_file, member, roster, weigh


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


def test_a_full_department_does_not_read_its_queue_unless_something_comes_back() -> None:
    there, full = roster(member("chen", capacity=1)), {"chen": Seat(load=1)}
    assert not may_give(there, full, [case_file()])
    ended = case_file(Books(counted=Counted("logistics", "chen", 1)), status="resolved", owner="chen")
    assert may_give(there, full, [ended])
    assert may_give(there, {}, [])


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
                file = act(file, Resolve("x", "carrier"), actor="m", at=NOW, causes=("carrier",)).file
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
