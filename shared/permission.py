"""Who may see what: what each role gives, in which departments (promise P12, docs/security.md).

A caller needs the scope of a call, and a role that has a use for it; several roles add up, each in its own
departments. What roles may do with cases is routing's (services/routing/domain/permission.py). Where
authentication is off, and for the services themselves, there is no limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from shared.principal import Principal, Role

Reach = Literal["named", "all", "named or all"]
"""The departments that the caller's token or key names; all; all where it names none."""

_READ = frozenset({"cases:read", "sla:read", "kpis:read", "people:read"})
_CHANGE = frozenset({"cases:write"})


class Grant(NamedTuple):
    """What a role gives. `scopes`: those it has a use for, of those that read and change what CQM keeps.
    `personal`: names, phones and emails of customers, for the role alone or for the scope personal:read."""

    reach: Reach
    scopes: frozenset[str]
    personal: Literal["yes", "no", "by scope"]


GRANTS: dict[Role, Grant] = {
    "agent": Grant("named", _READ | _CHANGE, "yes"),
    "supervisor": Grant("named", _READ | _CHANGE | {"policy:read"}, "yes"),
    "head": Grant("named", _READ | _CHANGE | {"policy:read"}, "yes"),
    "quality_manager": Grant("all", _READ | _CHANGE | {"policy:read", "audit:read"}, "no"),
    "auditor": Grant("all", _READ | {"policy:read", "audit:read"}, "no"),
    "integration": Grant("named or all", _READ | _CHANGE | {"policy:read", "audit:read"}, "by scope"),
}
_LIMITED = frozenset().union(*(grant.scopes for grant in GRANTS.values()))
"""Scopes that need a role, too: to send something in, and imports, go by the scope alone."""
UNDIVIDED = frozenset({"audit:read"})
"""What cannot be told for one department alone."""


def may_do_everything(principal: Principal) -> bool:
    """Where nobody asks who calls (CQM_AUTH=off)."""
    return principal.scopes is None


def may_use(principal: Principal, scope: str) -> bool:
    """Whether one of the caller's roles has a use for a scope. That the caller has it is asked elsewhere."""
    if may_do_everything(principal) or scope not in _LIMITED:
        return True
    return any(
        scope in GRANTS[role].scopes and (scope not in UNDIVIDED or _departments(role, principal) is None)
        for role in principal.roles
    )


def roles_for(scope: str) -> tuple[Role, ...]:
    """The roles that have a use for a scope."""
    return tuple(role for role, grant in GRANTS.items() if scope in grant.scopes)


def roles_in(principal: Principal, department: str) -> tuple[Role, ...]:
    """The caller's roles that hold in a department."""
    reaches = ((role, _departments(role, principal)) for role in principal.roles)
    return tuple(role for role, reach in reaches if reach is None or department in reach)


def sees(principal: Principal, department: str) -> bool:
    """Whether the caller may know of a department's cases at all."""
    return may_do_everything(principal) or bool(roles_in(principal, department))


def sees_personal(principal: Principal, department: str) -> bool:
    """Whether the caller sees name, phone and email of the customers of a department's cases."""
    if may_do_everything(principal):
        return True
    found = {GRANTS[role].personal for role in roles_in(principal, department)}
    return "yes" in found or ("by scope" in found and "personal:read" in (principal.scopes or ()))


def visible_departments(principal: Principal) -> frozenset[str] | None:
    """The departments whose cases the caller may know of; None for all."""
    if may_do_everything(principal):
        return None
    reaches = [_departments(role, principal) for role in principal.roles]
    seen: set[str] = set()
    for reach in reaches:
        if reach is None:
            return None
        seen |= reach
    return frozenset(seen)


def sees_colleagues(principal: Principal) -> bool:
    """Whether the caller may see figures by owner; an agent sees those of their own cases only."""
    return may_do_everything(principal) or any(role != "agent" for role in principal.roles)


def narrowed(principal: Principal, asked: Iterable[str] | None) -> tuple[str, ...] | None:
    """Of the departments asked for (None: of all) those that the caller may know of; None: no filter."""
    visible = visible_departments(principal)
    if asked is None:
        return None if visible is None else tuple(sorted(visible))
    return tuple(name for name in asked if visible is None or name in visible)


def _departments(role: Role, principal: Principal) -> frozenset[str] | None:
    reach, named = GRANTS[role].reach, principal.departments
    if reach == "all" or (reach == "named or all" and not named):
        return None
    return frozenset(named)
