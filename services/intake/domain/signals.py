"""Who a signal is from, and which one it is."""

from __future__ import annotations

from typing import NamedTuple

from shared import ids


class Sender(NamedTuple):
    """Who sends: `source` where the signal names none (`fixed`: none but it may be named), and `key`, the
    parts of an Idempotency-Key."""

    source: str
    key: tuple[str, ...] = ()
    fixed: bool = False


def identity(kind: str, source: str, external_id: str, key: tuple[str, ...]) -> str:
    """From the upstream system's own id, else from the Idempotency-Key; a fresh one promises no dedupe."""
    if external_id:
        return ids.name_text(kind, source, external_id)
    if key:
        return ids.name_text(f"{kind}-key", source, *key)
    return str(ids.fresh_id())
