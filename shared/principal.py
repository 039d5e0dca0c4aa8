"""Who a caller turned out to be, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from shared.rate_limit import Bucket

Scope = Literal[
    "feedback:write", "activity:write", "imports",
    "cases:read", "cases:write", "sla:read", "kpis:read", "people:read", "policy:read", "audit:read",
    "personal:read",
]  # fmt: skip
SCOPES: frozenset[str] = frozenset(get_args(Scope))
Role = Literal["agent", "supervisor", "head", "quality_manager", "auditor", "integration"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What they give is told by shared/permission.py."""
PREFIX = "cqm_"
"""What every API key begins with."""
DEFAULT_SOURCE = "api"


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is the actor of what it does. `source`: of the signals that name none; `fixed_source`: no other
    may be named. `scopes` is None where everybody may do everything. `label` stands for it in metrics, one of
    few values. `roles` and `departments` say what of it (shared/permission.py).
    """

    name: str
    source: str = DEFAULT_SOURCE
    fixed_source: bool = False
    scopes: frozenset[str] | None = None
    label: str = DEFAULT_SOURCE
    bucket: Bucket | None = None
    roles: tuple[Role, ...] = ()
    departments: tuple[str, ...] = ()
