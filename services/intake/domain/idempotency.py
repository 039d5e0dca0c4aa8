"""The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07, 2.1), quoted or bare.

The draft writes it as a string of Structured Fields (RFC 9651, 3.3.3): `"8e03978e-40d5"`. Many clients leave
the quotation marks away. Both mean the same key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.principal import Principal

MAX_KEY = 255

_BARE = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]*")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
_ESCAPED = re.compile(r'\\(["\\])')


def key_of(lines: Sequence[str]) -> str | None:
    """The key in the header's field lines, 1 to MAX_KEY characters; None where there is none to be read.

    Two lines are no key: which of them should count?
    """
    if len(lines) != 1:
        return None
    line = lines[0].strip(" \t")
    if quoted := _QUOTED.fullmatch(line):
        key = _ESCAPED.sub(r"\1", quoted[1])
    elif _BARE.fullmatch(line):
        key = line
    else:
        return None
    return key if len(key) <= MAX_KEY else None


def parts_of(key: str | None, caller: Principal) -> tuple[str, ...]:
    """What a key is told apart by, beside the source (ADR 38): each caller's keys are its own.

    Whose source is fixed has nobody else in it, and goes on with a new API key; who is not known
    (CQM_AUTH=off) has no name.
    """
    if not key:
        return ()
    return (key,) if caller.fixed_source or caller.scopes is None else (caller.name, key)
