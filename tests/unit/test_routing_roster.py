"""Who of a department is there (docs/domain.md 2.3 and 2.9), as sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.routing.domain.roster import Absence, roster
from tests.support.office import NIGHT, policy_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TONIGHT = NOON.replace(hour=NIGHT)


@pytest.mark.parametrize(
    ("since", "until", "there"),
    [
        (NOON + timedelta(hours=1), TONIGHT + timedelta(days=3), False),
        (TONIGHT, TONIGHT + timedelta(hours=1), False),
        (NOON, NOON + timedelta(hours=1), False),
        (NOON - timedelta(days=1), NOON, True),
        (NOON + timedelta(hours=1), TONIGHT, True),
        (TONIGHT + timedelta(seconds=1), TONIGHT + timedelta(days=3), True),
    ],
)
def test_who_works_at_night_is_away_who_says_so_of_noon_or_of_the_next_opening(
    since: datetime, until: datetime, there: bool
) -> None:
    policy = policy_of(0)
    members = roster(policy, "bills", NOON, {"bix": Absence(since, until)}).members
    assert members.keys() == ({"ben", "bix"} if there else {"ben"})
    assert not there or members["bix"].starts == TONIGHT


def test_who_is_at_work_stays_until_their_absence_begins() -> None:
    later = Absence(NOON + timedelta(seconds=1), NOON + timedelta(days=9))
    assert "ben" in roster(policy_of(0), "bills", NOON, {"ben": later}).members
