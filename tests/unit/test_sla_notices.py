"""What people are told: quiet hours and digests (docs/domain.md 3.12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from services.sla.domain.notice import KEPT, Waiting, notices, quiet_until, waiting
from services.sla.store import NoticeStore
from shared.events import EscalationRaised
from shared.policy import QuietHours
from tests.support.sla import SHANGHAI, Watched, at, case

NIGHT = QuietHours(start="21:00", end="08:00")
NOW = datetime(2026, 3, 2, 2, 0, 30, tzinfo=UTC)


def raised(count: int, recipient: str = "wu") -> list[EscalationRaised]:
    watched = Watched()
    watched.sees(case())
    (event,) = [one for one in watched.until(at("mon 10:30")) if isinstance(one, EscalationRaised)]
    return [replace(event, id=UUID(int=number + 1), recipient=recipient) for number in range(count)]


def waits(count: int, recipient: str = "wu", now: datetime = NOW) -> list[Waiting]:
    return waiting(raised(count, recipient), None, SHANGHAI, now)


@pytest.mark.parametrize(
    ("local", "until"),
    [
        ("mon 20:59", None), ("mon 21:00", "tue 08:00"), ("mon 23:59", "tue 08:00"),
        ("tue 00:00", "tue 08:00"), ("tue 07:59", "tue 08:00"), ("tue 08:00", None),
    ],
)  # fmt: skip
def test_quiet_hours_pass_midnight_in_the_organisations_zone(local: str, until: str | None) -> None:
    assert quiet_until(NIGHT, SHANGHAI, at(local).astimezone(UTC)) == (at(until) if until else None)


def test_quiet_hours_within_a_day_end_on_that_day() -> None:
    noon = QuietHours(start="12:00", end="14:00")
    assert quiet_until(noon, SHANGHAI, at("mon 13:00").astimezone(UTC)) == at("mon 14:00")
    assert quiet_until(noon, SHANGHAI, at("mon 14:00").astimezone(UTC)) is None
    assert quiet_until(None, SHANGHAI, NOW) is None


def test_quiet_hours_end_when_the_clock_on_the_wall_says_so_on_the_day_of_a_clock_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = datetime(2026, 3, 28, 23, tzinfo=berlin).astimezone(UTC)
    assert quiet_until(NIGHT, berlin, night) == datetime(2026, 3, 29, 8, tzinfo=berlin)


def test_quiet_hours_hold_back_people_and_no_addresses_and_never_the_event() -> None:
    events = [*raised(1), *raised(1, "duty@example.org")]
    late = at("mon 22:00").astimezone(UTC)
    person, address = waiting(events, NIGHT, SHANGHAI, late)
    assert (person.held, person.tell_at) == (True, at("tue 08:00"))
    assert (address.held, address.tell_at) == (False, late)
    assert all(event.at == at("mon 10:30") for event in events)


def test_a_step_that_nobody_is_told_of_makes_no_notice() -> None:
    assert waiting(raised(1, ""), None, SHANGHAI, NOW) == []


def test_few_steps_are_told_one_by_one() -> None:
    told, postponed = notices(waits(3), {}, 50, NOW)
    assert [(one.digest, one.count) for one in told] == [(False, 1)] * 3 and postponed == []


def test_five_hundred_at_once_for_one_recipient_are_one_digest_of_the_next_minute() -> None:
    told, postponed = notices(waits(300), {}, 50, NOW)
    assert told == [] and postponed[0].tell_at == NOW.replace(second=0) + timedelta(minutes=1)
    more, still = notices(waits(20), {"wu": 300}, 50, NOW + timedelta(seconds=1))
    assert more == [] and still
    told, postponed = notices([*postponed, *still], {}, 50, NOW + timedelta(seconds=30))
    assert [(one.digest, one.count) for one in told] == [(True, 320)] and postponed == []


def test_the_flood_of_one_recipient_holds_back_nobody_else() -> None:
    told, _ = notices([*waits(60), *waits(1, "zhou")], {}, 50, NOW)
    assert [one.recipient for one in told] == ["zhou"]


def test_what_waited_over_the_night_is_one_digest_and_a_single_step_is_none() -> None:
    night = at("mon 22:00").astimezone(UTC)
    several = [*waiting(raised(2), NIGHT, SHANGHAI, night), *waiting(raised(1), NIGHT, SHANGHAI, night)]
    told, _ = notices(several, {}, 50, at("tue 08:00").astimezone(UTC))
    assert [(one.digest, one.count) for one in told] == [(True, 3)]
    told, _ = notices(waiting(raised(1), NIGHT, SHANGHAI, night), {}, 50, at("tue 08:00").astimezone(UTC))
    assert [(one.digest, one.count) for one in told] == [(False, 1)]


def test_a_digest_counts_all_its_steps_and_keeps_the_ids_of_the_first() -> None:
    """With all of them it outgrew what a document may hold, and nobody was told anything any more."""
    (one,) = waits(2_000)
    held = [replace(one, id=UUID(int=number), held=True) for number in range(300)]
    (notice,), postponed = notices(held, {}, 50, NOW)
    assert (notice.digest, notice.count, postponed) == (True, 600_000, [])
    assert notice.escalations == one.escalations[:KEPT]


async def test_a_list_asks_for_no_more_ids_than_it_shows() -> None:
    asked: list[object] = []

    class Found:
        def find(self, query: object, projection: object = None) -> Found:
            asked.append(projection)
            return self

        def sort(self, *_: object) -> Found:
            return self

        limit = sort

        async def to_list(self, _: None) -> list[object]:
            return []

    database: Any = SimpleNamespace(waiting=None, notices=Found())
    assert await NoticeStore(database).find("wu", None, None, 201, 200) == []
    assert asked == [{"escalations": {"$slice": 200}}]
