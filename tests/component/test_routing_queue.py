"""A queue may be long: what a turn asks MongoDB for is what it can do something with, and nothing else."""

from __future__ import annotations

import random

from services.routing.domain.assignment import could
from services.routing.domain.case_file import Books, CaseFile
from services.routing.domain.queue import Search, Taker
from services.routing.store import CaseStore
from services.routing.store.documents import case_document
from shared.mongo import Mongo
from tests.support.cases import case_file, member
from tests.support.servers import Servers

SKILLS, LANGUAGES, NAMES = ("glass", "late", "money"), ("zh", "en", "other"), ("chen", "zhao", "liu")


def some(chance: random.Random, of: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(chance.sample(of, chance.randrange(len(of))))


def waiting_case(chance: random.Random) -> CaseFile:
    books = Books(
        waiting=chance.random() < 0.8,
        avoid=chance.choice(("", *NAMES)),
        passed=chance.choice(((), ("service",))),
    )
    return case_file(
        books, skills=some(chance, SKILLS), language=chance.choice(LANGUAGES),
        priority=chance.choice(("P1", "P2", "P3", "P4")), department=chance.choice(("logistics", "quality")),
    )  # fmt: skip


def some_search(chance: random.Random) -> Search:
    members = [
        member(name, skills=frozenset(some(chance, SKILLS)), languages=frozenset(some(chance, ("zh", "en"))))
        for name in NAMES[: chance.randrange(4)]
    ]
    takers = [
        Taker(one, ("P1", "P2", "P3", "P4")[chance.randrange(3) :])
        for one in members
        if chance.random() < 0.7
    ]
    idle = [Taker(one, ("P1", "P2", "P3", "P4")[chance.randrange(3) :]) for one in members]
    return Search("logistics", takers, idle, chance.choice(("", "service")))


def is_found(file: CaseFile, search: Search) -> bool:
    """The same, told by the rules of a turn."""
    case, books = file.case, file.books
    if case.department != search.department or not books.waiting:
        return False
    if any(
        could(one.member, case) and case.priority in one.priorities and books.avoid != one.member.id
        for one in search.takers
    ):
        return True
    alone = not any(
        could(one.member, case) and case.priority in one.priorities and books.avoid != one.member.id
        for one in search.idle
    )
    return bool(search.backup) and alone and search.backup not in books.passed


async def test_what_is_found_is_what_somebody_may_be_given_or_the_backup_gets(
    servers: Servers, prefix: str
) -> None:
    chance, mongo = random.Random(20260302), Mongo(servers.mongo)
    database = mongo.database(f"{prefix}_routing")
    store, files = CaseStore(database), [waiting_case(chance) for _ in range(400)]
    await store.prepare()
    await database.cases.insert_many([case_document(file) for file in files])
    session = await mongo.start_session()
    try:
        for wanted in (one for _ in range(60) if not (one := some_search(chance)).is_idle):
            found = await store.waiting(wanted, 1000, session)
            assert {file.case.id for file in found} == {f.case.id for f in files if is_found(f, wanted)}
            order = [(file.case.priority, file.case.opened_at) for file in found]
            assert order == sorted(order)
    finally:
        await session.end_session()
        mongo.close()


async def test_a_page_of_cases_that_nobody_may_have_does_not_hide_one_that_somebody_may(
    servers: Servers, prefix: str
) -> None:
    mongo = Mongo(servers.mongo)
    database = mongo.database(f"{prefix}_routing")
    store, queued = CaseStore(database), Books(waiting=True)
    await store.prepare()
    hard = [case_file(queued, priority="P1", skills=("glass",)) for _ in range(30)]
    easy = case_file(queued, priority="P4")
    await database.cases.insert_many([case_document(file) for file in (*hard, easy)])
    session = await mongo.start_session()
    try:
        (found,) = await store.waiting(Search("logistics", [Taker(member("chen"), ("P4",))]), 10, session)
        assert found.case.id == easy.case.id
    finally:
        await session.end_session()
        mongo.close()
