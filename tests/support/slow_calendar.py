"""Working time minute by minute over UTC: an oracle that shares no line with shared/calendar.py.

It reads docs/domain.md 3.1 to 3.4 word for word: a day's worked minutes are a set of minutes on the wall;
each unbroken run of them begins at the first moment that shows its first minute and ends at the first that
shows its end (later by the gap where a clock change skips it); a minute of UTC is worked when it lies in one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Weekly = dict[str, list[str]]


@dataclass
class SlowCalendar:
    """A calendar as it is written; `holidays` are dates. `walls` remembers clocks that were looked at."""

    time_zone: str
    weekly: Weekly
    holidays: list[str] = field(default_factory=list)
    overrides: Weekly = field(default_factory=dict)
    breaks: Weekly = field(default_factory=dict)

    def minutes(self, begin: datetime, count: int) -> list[bool]:
        """Of each minute from `begin` (a whole one, UTC) whether it is worked."""
        zone = ZoneInfo(self.time_zone)
        first = begin - 3 * DAY
        moments = [first + MINUTE * n for n in range(count + 6 * 1440)]
        walls = [moment.astimezone(zone).replace(tzinfo=None) for moment in moments]
        shown: dict[datetime, datetime] = {}
        for moment, wall in zip(moments, walls, strict=True):
            shown.setdefault(wall, moment)
        spans = []
        day, last = walls[0].date() + DAY, walls[-1].date() - DAY
        while day <= last:
            midnight = datetime.combine(day, time())
            for opens, closes in _runs(self._on(day)):
                spans.append(
                    (
                        _instant(midnight + MINUTE * opens, shown, walls),
                        _instant(midnight + MINUTE * closes, shown, walls),
                    )
                )
            day += DAY
        worked = [False] * count
        for start, stop in spans:
            for n in range(max(0, (start - begin) // MINUTE), min(count, (stop - begin) // MINUTE)):
                worked[n] = True
        return worked

    def _on(self, day: date) -> set[int]:
        """Worked minutes of the wall clock, 0 to 1439."""
        if (given := self.overrides.get(day.isoformat())) is not None:
            return _minutes(given)
        if day.isoformat() in self.holidays:
            return set()
        return self._of(self.weekly, day) - self._of(self.breaks, day)

    def _of(self, weekly: Weekly, day: date) -> set[int]:
        found: set[int] = set()
        for key, texts in weekly.items():
            first, _, last = key.partition("-")
            place = NAMES.index(first)
            while True:
                if place == day.weekday():
                    found |= _minutes(texts)
                if NAMES[place] == (last or first):
                    break
                place = (place + 1) % 7
        return found


def _minutes(texts: list[str]) -> set[int]:
    found: set[int] = set()
    for text in texts:
        begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
        found |= set(range(begin, end))
    return found


def _runs(minutes: set[int]) -> list[tuple[int, int]]:
    starts = sorted(n for n in minutes if n - 1 not in minutes)
    ends = sorted(n + 1 for n in minutes if n + 1 not in minutes)
    return list(zip(starts, ends, strict=True))


def _instant(wall: datetime, shown: dict[datetime, datetime], walls: list[datetime]) -> datetime:
    """The first moment that shows a wall time; one that is skipped is later by the gap."""
    if wall in shown:
        return shown[wall]
    for before, after in pairwise(walls):
        if before < wall < after:
            return shown[wall + (after - before - MINUTE)]
    raise AssertionError("outside the minutes that were looked at")


def clock_changes(zone: str, year: int) -> list[datetime]:
    """UTC midnights of a year after which the zone's clock changes within a day."""
    place = ZoneInfo(zone)
    midnights = [datetime(year, 1, 1, tzinfo=UTC) + DAY * n for n in range(365)]
    offsets = [moment.astimezone(place).utcoffset() for moment in midnights]
    return [midnights[n] for n in range(364) if offsets[n] != offsets[n + 1]]
