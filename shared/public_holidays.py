"""Public holidays of a country and the make-up working days (调休) that pay for them.

Source: the `holidays` library. China's make-up days are complete for the years whose decree it knows
(`decreed_until`); a later year has its fixed holidays only, which `cqm policy check` says as a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from shared.opening_hours import HoursError, parse_date

_CODE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


class UnknownCountry(ValueError):
    """No public holidays are known under this code."""


@dataclass(frozen=True, slots=True)
class YearOff:
    """One year of one country: days off, and working weekend days with the weekday that they stand for."""

    days_off: frozenset[date]
    makeup: dict[date, int | None]


MOST_COUNTRIES = 10


@lru_cache(maxsize=4096)
def year_off(code: str, year: int) -> YearOff:
    """`code` is ISO 3166 (`CN`) or with a subdivision (`DE-BY`). Raises UnknownCountry."""
    source = _source(code, year)
    working = {day for day in getattr(source, "weekend_workdays", ()) if day.year == year}
    stands_for = _stands_for(source)
    off = frozenset(day for day in source if day.year == year and day not in working)
    return YearOff(off, {day: stands_for.get(day) for day in sorted(working)})


@lru_cache(maxsize=256)
def decreed_until(code: str) -> int | None:
    """Last year whose make-up days are known, None for a country that has none."""
    swaps = _swaps(_source(code, 2020))
    return max(year for _, year, _ in swaps) if swaps else None


def _source(code: str, year: int) -> Any:
    if _CODE.fullmatch(code) is None:
        raise UnknownCountry('a country is its ISO code, "CN" or "DE-BY"')
    import holidays  # 0.3 s to import: only where a calendar names a country

    country, _, subdivision = code.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=subdivision or None, years=[year])
    except NotImplementedError as error:
        raise UnknownCountry("no public holidays are known for this country code") from error


def _swaps(source: Any) -> list[tuple[date, int, date]]:
    """Each swap as (working weekend day, year of the decree, day off that it pays for)."""
    swaps = []
    for year, entries in getattr(source, "special_public_holidays", {}).items():
        rows = entries if entries and isinstance(entries[0], tuple) else (entries,)
        for row in rows:
            if len(row) >= 4:  # (to month, to day, from month, from day[, from year]); 3 items: no swap
                worked = date(row[4] if len(row) > 4 else year, row[2], row[3])
                swaps.append((worked, year, date(year, row[0], row[1])))
    return swaps


def _stands_for(source: Any) -> dict[date, int]:
    """Working weekend day -> weekday of the day off: the Saturday is worked with that day's hours."""
    return {worked: off.weekday() for worked, _, off in _swaps(source)}


def parse_holidays(entries: Iterable[str | date]) -> tuple[frozenset[date], tuple[str, ...]]:
    """What a calendar says under `holidays`: single dates off, and countries. Raises HoursError."""
    days: set[date] = set()
    countries: list[str] = []
    for index, entry in enumerate(entries):
        path = f"holidays[{index}]"
        if isinstance(entry, date) or entry[:1].isdigit():
            days.add(parse_date(entry, path))
            continue
        try:
            year_off(entry, 2020)
        except UnknownCountry as error:
            raise HoursError(path, str(error)) from error
        if entry not in countries:
            countries.append(entry)
        if len(countries) > MOST_COUNTRIES:  # each takes some milliseconds for every year that is asked for
            raise HoursError(path, f"a calendar has the holidays of at most {MOST_COUNTRIES} countries")
    return frozenset(days), tuple(countries)
