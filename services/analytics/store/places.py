"""Where packed counts stand: ids that sort by tally, dimensions and time, so that a span is one range."""

from __future__ import annotations

from collections.abc import Sequence

WEEK = 7
"""Days."""
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""The days of the years 1 to 9999."""


def day_id(tally: str, by: Sequence[str], day: int) -> str:
    """The id of a tally's sums by some dimensions on a UTC day."""
    return f"{tally}/{'|'.join(by)}/{day_key(day)}"


def day_ids(tally: str, by: Sequence[str], first: int = FIRST_DAY, last: int = LAST_DAY) -> dict[str, str]:
    """The ids of days, or of weeks by their Mondays, as a condition of MongoDB."""
    return {"$gte": day_id(tally, by, first), "$lte": day_id(tally, by, last)}


def all_ids(tally: str) -> dict[str, str]:
    """The ids of all sums of a tally, by whatever dimensions, as a condition of MongoDB."""
    return {"$gte": f"{tally}/", "$lt": f"{tally}0"}  # "0" follows "/"


def chunk_id(tally: str, day: int, number: int) -> str:
    """The id of lines of a tally on a UTC day."""
    return f"{tally}/{day_key(day)}/{number:05}"


def monday_of(day: int) -> int:
    """The Monday on or before a UTC day; by it a week's sums are known."""
    return day - (day + 3) % WEEK


def day_key(day: int) -> str:
    """A day as text in the order of time; the years 1 to 9999 are all above zero."""
    return f"{day + 1_000_000:07}"


def day_of_key(identity: str) -> int:
    """The UTC day, counted from 1970, that the id of a day document ends with."""
    return int(identity.rpartition("/")[2]) - 1_000_000
