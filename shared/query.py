"""Query parameters: those that are known, once each unless they may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fastapi import Request
from pydantic import BaseModel

from shared.problem import Fault, Problem


def only(
    allowed: type[BaseModel] | Iterable[str], repeatable: Collection[str] = ()
) -> Callable[[Request], None]:
    """A dependency that refuses unknown parameters, and known ones that stand twice."""
    if isinstance(allowed, type):
        names = [field.alias or name for name, field in allowed.model_fields.items()]
    else:
        names = list(allowed)

    def check(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        faults = [
            Fault(f"?{name[:64]}", f"unknown parameter; allowed: {', '.join(names) or 'none'}")
            for name in dict.fromkeys(given)
            if name not in names
        ]
        faults += [
            Fault(f"?{name}", "may stand only once", 1)
            for name in names
            if name not in repeatable and given.count(name) > 1
        ]
        if faults:
            raise Problem(422, "The query does not fit; see errors.", faults)

    return check
