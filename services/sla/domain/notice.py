"""What people are told, and when: quiet hours and digests (docs/domain.md 3.12).

Every step is an EscalationRaised at its time. A notice is what its recipient gets to read of it: held back
over quiet hours where that is a person, and one digest a minute where it would be too many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from shared.events import EscalationRaised
from shared.ids import document_id, name_id
from shared.policy import QuietHours

WINDOW = timedelta(minutes=1)
"""`notify.digest_over` counts the notices of one recipient in it."""

KEPT = 1_000
"""Ids that a notice keeps, of as many as it counts: half a million of them would not fit into a document."""


class Waiting(Struct, frozen=True):
    """Steps of one transaction that one recipient is to be told of, not before `tell_at`."""

    id: UUID = field(name="_id")
    recipient: str
    tell_at: datetime
    held: bool
    departments: tuple[str, ...]
    escalations: tuple[UUID, ...]


class Notice(Struct, frozen=True):
    """What a recipient is told at once: one step, or a digest of many.

    `escalations` are the ids of EscalationRaised, the first KEPT of `count`.
    """

    id: UUID = field(name="_id")
    recipient: str
    at: datetime
    digest: bool
    count: int
    departments: tuple[str, ...]
    escalations: tuple[UUID, ...]


def waiting(
    raised: Iterable[EscalationRaised], quiet: QuietHours | None, zone: ZoneInfo, now: datetime
) -> list[Waiting]:
    """One per recipient. Quiet hours are for people: an address is told at once."""
    by_recipient: defaultdict[str, list[EscalationRaised]] = defaultdict(list)
    for event in raised:
        if event.recipient:
            by_recipient[event.recipient].append(event)
    end = quiet_until(quiet, zone, now)
    found = []
    for recipient, events in by_recipient.items():
        held = end is not None and "@" not in recipient
        found.append(
            Waiting(
                document_id(now, name_id("waiting", recipient, events[0].id.hex)),
                recipient,
                end if end is not None and held else now,
                held,
                tuple(sorted({event.labels.department for event in events})),
                tuple(event.id for event in events),
            )
        )
    return found


def quiet_until(quiet: QuietHours | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When the quiet hours that hold now are over; None when it is not quiet. They may pass midnight."""
    if quiet is None:
        return None
    start, end = time.fromisoformat(quiet.start), time.fromisoformat(quiet.end)
    local = now.astimezone(zone)
    is_quiet = start <= local.time() < end if start <= end else not end <= local.time() < start
    if not is_quiet:
        return None
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, zone).astimezone(now.tzinfo)


def notices(
    waits: Sequence[Waiting], known: Mapping[str, int], over: int, now: datetime
) -> tuple[list[Notice], list[Waiting]]:
    """What `waits` come to: notices, and entries that wait on.

    `known` counts for each recipient the notices within WINDOW and the steps that wait already. More than
    `over` with them wait for the next full minute, and are one digest then; so is what waited together over
    quiet hours.
    """
    by_recipient: defaultdict[str, list[Waiting]] = defaultdict(list)
    for one in waits:
        by_recipient[one.recipient].append(one)
    told: list[Notice] = []
    postponed: list[Waiting] = []
    for recipient, ones in by_recipient.items():
        fresh = [one for one in ones if not one.held]
        steps = sum(len(one.escalations) for one in fresh)
        if steps + known.get(recipient, 0) > over:
            minute = now.replace(second=0, microsecond=0) + WINDOW
            postponed += [replace(one, tell_at=minute, held=True) for one in fresh]
            fresh = []
        if held := [one for one in ones if one.held]:
            told.append(_notice(recipient, held, [step for one in held for step in one.escalations], now))
        told += [_notice(recipient, [one], [step], now) for one in fresh for step in one.escalations]
    return told, postponed


def _notice(recipient: str, ones: Sequence[Waiting], steps: Sequence[UUID], now: datetime) -> Notice:
    return Notice(
        document_id(now, name_id("notice", recipient, steps[0].hex)),
        recipient,
        now,
        len(steps) > 1,
        len(steps),
        tuple(sorted({name for one in ones for name in one.departments})),
        tuple(steps[:KEPT]),
    )
