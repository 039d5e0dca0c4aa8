"""Who calls: `Access.admit` answers the principal of a request, or refuses it.

CQM_AUTH=off, on loopback only: everybody is let in, and the header X-Actor says who it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request

from shared.problem import Fault, Problem
from shared.settings import Settings

ANYBODY = "anonymous"
_ACTOR = re.compile(r"[\w.@-]{1,128}")


@dataclass(frozen=True, slots=True)
class Principal:
    """`source`: of the signals that name none; `fixed_source`: no other may be named."""

    name: str
    source: str
    fixed_source: bool = False


class Access:
    """One per service, built from its settings."""

    def __init__(self, settings: Settings) -> None:
        self._mode = settings.auth

    def admit(self, request: Request, scope: str) -> Principal:
        """The caller, when it may do what `scope` names (`feedback:write`, ...). Raises Problem."""
        actor = request.headers.get("x-actor", ANYBODY)
        if not _ACTOR.fullmatch(actor):
            fault = Fault("X-Actor", "must be 1 to 128 letters, digits, . _ @ or -", 128)
            raise Problem(422, "A header does not fit; see errors.", [fault])
        return Principal(actor, "api")
