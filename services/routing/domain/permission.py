"""What each role may do with a case that it sees, and with the people of a department (docs/security.md)."""

from __future__ import annotations

from typing import NamedTuple, get_args

from services.routing.domain.action_types import ActionName
from services.routing.domain.lifecycle import LEGAL
from shared.errors import CQMError
from shared.events import Case
from shared.permission import may_do_everything, roles_in
from shared.principal import Principal, Role

_SAY: frozenset[ActionName] = frozenset({"customer_message", "note"})
_WORK: frozenset[ActionName] = _SAY | {
    "acknowledge", "start", "reply", "hold", "resume", "transfer", "resolve", "reopen", "close",
}  # fmt: skip
_JUDGE: frozenset[ActionName] = frozenset({"note", "prioritise", "merge", "reopen"})
_END: frozenset[ActionName] = _SAY | {"close"}
_NONE: frozenset[ActionName] = frozenset()
_ALL: frozenset[ActionName] = frozenset(get_args(ActionName))


class May(NamedTuple):
    """Actions on cases that the caller owns, and on those of others; whose availability it may say."""

    owned: frozenset[ActionName]
    others: frozenset[ActionName]
    own_availability: bool = False
    others_availability: bool = False


MAY: dict[Role, May] = {
    "agent": May(_WORK, _SAY, own_availability=True),
    "supervisor": May(_ALL, _ALL, own_availability=True, others_availability=True),
    "head": May(_ALL, _ALL, own_availability=True, others_availability=True),
    "quality_manager": May(_JUDGE, _JUDGE),
    "auditor": May(_NONE, _NONE),
    "integration": May(_END, _END),
}


class Forbidden(CQMError):
    """None of the caller's roles allows it; `roles` would, `allowed` is what the caller may do now."""

    def __init__(self, message: str, roles: tuple[Role, ...], allowed: tuple[ActionName, ...] = ()) -> None:
        super().__init__(message)
        self.roles = roles
        self.allowed = allowed


def may_act(principal: Principal, action: ActionName, case: Case) -> bool:
    """Whether a caller who sees the case may do this to it; who owns it is told by the caller's name."""
    if may_do_everything(principal):
        return True
    owns = case.owner == principal.name
    granted = (MAY[role] for role in roles_in(principal, case.department))
    return any(action in (may.owned if owns else may.others) for may in granted)


def allowed_actions(principal: Principal, case: Case) -> tuple[ActionName, ...]:
    """What is legal in the case's status, and for this caller."""
    return tuple(action for action in LEGAL[case.status] if may_act(principal, action, case))


def check_may_act(principal: Principal, action: ActionName, case: Case) -> None:
    """Raises Forbidden with the roles that may."""
    if may_act(principal, action, case):
        return
    roles = tuple(role for role, may in MAY.items() if action in may.others)
    owner = "its owner, or " if any(action in may.owned - may.others for may in MAY.values()) else ""
    message = f"To {action} a case is for {owner}the role {_listed(roles)} in its department."
    raise Forbidden(message, roles, allowed_actions(principal, case))


def check_may_set_availability(principal: Principal, person: str, department: str) -> None:
    """Raises Forbidden unless it is the caller's own, or that of somebody the caller leads."""
    if may_do_everything(principal):
        return
    granted = [MAY[role] for role in roles_in(principal, department)]
    own = principal.name == person and any(may.own_availability for may in granted)
    if not own and not any(may.others_availability for may in granted):
        roles = tuple(role for role, may in MAY.items() if may.others_availability)
        raise Forbidden(f"This is for the person, or the role {_listed(roles)} in the department.", roles)


def _listed(roles: tuple[Role, ...]) -> str:
    return " or ".join((", ".join(roles[:-1]), roles[-1])) if len(roles) > 1 else "".join(roles)
