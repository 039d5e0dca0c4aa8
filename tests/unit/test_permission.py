"""Who may what: the functions say what the table of docs/security.md says, cell by cell."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec import structs

from services.routing.actions import Asked, NoSuchCase
from services.routing.domain.action_types import ActionName, Note, Start
from services.routing.domain.case_file import CaseFile
from services.routing.domain.hiding import HIDDEN, shown_customer, struck
from services.routing.domain.lifecycle import LEGAL
from services.routing.domain.permission import (
    Forbidden,
    allowed_actions,
    check_may_act,
    check_may_set_availability,
    may_act,
)
from shared.events import Case, Customer, Personal
from shared.permission import (
    may_use,
    narrowed,
    roles_for,
    sees,
    sees_colleagues,
    sees_personal,
    visible_departments,
)
from shared.principal import ROLES, SCOPES, Principal, Role
from tests.support.cases import NOW, POLICY, case_file
from tests.support.desk import Desk
from tests.support.permissions import COLLEAGUE, ELSEWHERE, HERE, ME, STRANGER, Cell, cells, word_for

SCOPE_TO_READ = {
    "cases": "cases:read", "clocks": "sla:read", "figures": "kpis:read", "people": "people:read",
    "policy": "policy:read", "audit": "audit:read", "scorecards": "kpis:read",
}  # fmt: skip
ALL_BUT_PERSONAL = SCOPES - {"personal:read"}


def a_case(**fields: Any) -> Case:
    return case_file(**fields).case


def caller(*roles: Role, departments: tuple[str, ...] = (HERE,), personal: bool = False) -> Principal:
    scopes = SCOPES if personal else ALL_BUT_PERSONAL
    return Principal(ME, scopes=frozenset(scopes), roles=roles, departments=departments)


def _availability(who: Principal) -> str:
    def may(person: str, department: str) -> bool:
        if not (may_use(who, "cases:write") and sees(who, department)):
            return False
        try:
            check_may_set_availability(who, person, department)
        except Forbidden:
            return False
        return True

    return word_for(may(ME, HERE), may(COLLEAGUE, HERE), may(STRANGER, ELSEWHERE))


def _personal(role: Role) -> str:
    def seen(personal: bool) -> str:
        who = caller(role, personal=personal)
        return word_for(*(sees_personal(who, place) for place in (HERE, HERE, ELSEWHERE)))

    without, with_scope = seen(False), seen(True)
    return "scope" if (without, with_scope) == ("no", "theirs") else without


def _undivided(role: Role, scope: str) -> str:
    if may_use(caller(role), scope):
        return "yes"
    return "unbound" if may_use(caller(role, departments=()), scope) else "no"


def found(of: str, to: str, role: Role) -> str:
    """What a cell should say."""
    who = caller(role)
    if of == "availability":
        return _availability(who)
    if of == "personal data":
        return _personal(role)
    if of == "scorecards":
        return word_for(sees(who, HERE), sees(who, HERE) and sees_colleagues(who), sees(who, ELSEWHERE))
    if of in ("policy", "audit"):
        return _undivided(role, SCOPE_TO_READ[of])
    if to == "read":
        assert may_use(who, SCOPE_TO_READ[of])
        return word_for(*(sees(who, place) for place in (HERE, HERE, ELSEWHERE)))

    def may(owner: str, department: str) -> bool:
        case = a_case(owner=owner, department=department)
        allowed = may_use(who, "cases:write") and sees(who, department)
        return allowed and may_act(who, to, case)  # type: ignore[arg-type]  # a row of the table

    return word_for(may(ME, HERE), may(COLLEAGUE, HERE), may(ME, ELSEWHERE))


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_a_cell_of_the_table_is_so(cell: Cell) -> None:
    assert cell.said == found(cell.of, cell.to, cell.role)


def test_the_table_has_a_row_for_every_action_and_every_scope_that_needs_a_role() -> None:
    rows = {(cell.of, cell.to) for cell in cells()}
    assert {to for of, to in rows if of == "cases"} == {"read", *get_args(ActionName)}
    told = {SCOPE_TO_READ[of] for of, to in rows if to == "read" and of in SCOPE_TO_READ}
    assert told | {"cases:write"} == {scope for scope in SCOPES if roles_for(scope)}


def test_an_integration_that_names_no_departments_sees_all() -> None:
    assert visible_departments(caller("integration", departments=())) is None
    assert sees(caller("integration", departments=()), ELSEWHERE)


@pytest.mark.parametrize("role", ["agent", "supervisor", "head"])
def test_a_role_in_departments_sees_nothing_where_none_is_named(role: Role) -> None:
    who = caller(role, departments=())
    assert visible_departments(who) == frozenset() and not sees(who, HERE)
    assert narrowed(who, None) == () and narrowed(who, [HERE]) == ()


def test_who_has_no_role_may_send_in_and_nothing_else() -> None:
    who = caller()
    assert {scope for scope in SCOPES if may_use(who, scope)} == {
        "feedback:write", "activity:write", "imports", "personal:read",
    }  # fmt: skip
    assert visible_departments(who) == frozenset()


def test_several_roles_add_up_each_where_it_holds() -> None:
    who = caller("agent", "quality_manager")
    assert visible_departments(who) is None
    assert (sees_personal(who, HERE), sees_personal(who, ELSEWHERE)) == (True, False)
    foreign = a_case(owner=ME, department=ELSEWHERE)
    assert may_act(who, "prioritise", foreign) and not may_act(who, "reply", foreign)
    assert may_act(who, "reply", a_case(owner=ME, department=HERE))


def test_a_filter_finds_what_may_be_seen_of_what_is_asked() -> None:
    who = caller("head")
    assert narrowed(who, None) == (HERE,)
    assert narrowed(who, [HERE, ELSEWHERE]) == (HERE,) and narrowed(who, [ELSEWHERE]) == ()
    assert narrowed(caller("auditor"), None) is None
    assert narrowed(caller("auditor"), [ELSEWHERE]) == (ELSEWHERE,)


def test_where_nobody_asks_who_calls_everybody_may_do_everything() -> None:
    anybody, case = Principal("anonymous"), a_case(owner=COLLEAGUE)
    assert all(may_use(anybody, scope) for scope in SCOPES)
    assert visible_departments(anybody) is None and sees_personal(anybody, HERE)
    assert allowed_actions(anybody, case) == LEGAL[case.status]
    check_may_set_availability(anybody, STRANGER, ELSEWHERE)


def test_a_refusal_names_who_may_and_what_the_caller_may_do() -> None:
    case = a_case(owner=COLLEAGUE, department=HERE, status="assigned")
    with pytest.raises(Forbidden, match="its owner, or the role supervisor or head") as refused:
        check_may_act(caller("agent"), "resolve", case)
    assert refused.value.roles == ("supervisor", "head")
    assert refused.value.allowed == ("customer_message", "note")


@pytest.mark.parametrize("role", ROLES)
def test_what_is_offered_is_legal_and_allowed(role: Role) -> None:
    who = caller(role)
    for status, legal in LEGAL.items():
        case = a_case(owner=ME, department=HERE, status=status)
        offered = allowed_actions(who, case)
        assert offered == tuple(name for name in legal if may_act(who, name, case))


def test_who_lost_a_case_before_the_action_is_decided_may_not_act_on_it() -> None:
    """Between reading a case and its transaction anybody else may have had it."""
    desk, file = Desk(POLICY, NOW), case_file(owner=ME, department=HERE, status="assigned")
    asked = Asked(Note(text="x"), caller("agent"))
    desk.shelf.cases[file.case.id] = CaseFile(structs.replace(file.case, department=ELSEWHERE))
    with pytest.raises(NoSuchCase):
        desk.act(file.case.id, asked)
    desk.shelf.cases[file.case.id] = CaseFile(structs.replace(file.case, owner=COLLEAGUE))
    assert desk.act(file.case.id, asked).case.version == 2
    with pytest.raises(Forbidden):
        desk.act(file.case.id, asked._replace(action=Start()))


CUSTOMER = Customer(
    id="C-9", tier="gold", personal=Personal(name="李明", phone="+86 138 0000", email="Li@example.org")
)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("李明女士来电，电话+86 138 0000。", f"{HIDDEN}女士来电，电话{HIDDEN}。"),
        ({"text": "write to li@EXAMPLE.org", "n": 1}, {"text": f"write to {HIDDEN}", "n": 1}),
        ([{"a": ["李明"]}, None], [{"a": [HIDDEN]}, None]),
        ("+86 138 00001", "+86 138 00001"),
        ("nothing", "nothing"),
    ],
)
def test_what_a_case_knows_of_its_customer_is_struck_out_of_texts(told: Any, expected: Any) -> None:
    assert struck(told, CUSTOMER) == expected


def test_a_name_within_a_longer_word_is_no_name_and_one_letter_is_none() -> None:
    assert struck("Like Li, I", Customer(personal=Personal(name="Li"))) == f"Like {HIDDEN}, I"
    assert struck("I", Customer(personal=Personal(name="I"))) == "I"
    assert struck("I", Customer()) == "I"


def test_a_customer_is_shown_with_and_without_personal_data() -> None:
    without = {"id": "C-9", "tier": "gold", "region": ""}
    assert shown_customer(CUSTOMER, personal=False) == without
    assert shown_customer(CUSTOMER, personal=True)["phone"] == "+86 138 0000"
    assert shown_customer(Customer(id="C-9", tier="gold"), personal=True) == without
