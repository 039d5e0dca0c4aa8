"""New York's 311 sample counted by pandas alone, from the file's own columns: what analytics has to say."""

from __future__ import annotations

import pandas as pd

from tests.support.imports import NYC311

ZONE = "America/New_York"
TERM = pd.Timedelta(days=30)
"""All due dates of the file are so long after the request; the city gives them to a few requests only."""
Counts = dict[str, int]


def requests() -> pd.DataFrame:
    """A row per request: `created`, `closed` and `due` in UTC, `seconds` from created to closed. Where the
    file has no due date, it is by the city's term."""
    rows = pd.read_csv(NYC311, dtype=str, keep_default_na=False).drop_duplicates("unique_key")
    moments = {
        name: pd.to_datetime(rows[f"{name}_date"].replace("", None)).dt.tz_localize(ZONE).dt.tz_convert("UTC")
        for name in ("created", "closed", "due")
    }
    frame = rows[["unique_key", "agency", "borough"]].assign(**moments)
    given = frame["due"].notna()
    assert (frame["due"] - frame["created"])[given].eq(TERM).all() and given.any()
    frame["due"] = frame["due"].fillna(frame["created"] + TERM)
    frame["seconds"] = (frame["closed"] - frame["created"]).dt.total_seconds()
    return frame


def volume(frame: pd.DataFrame, by: str) -> Counts:
    return _ints(frame.groupby(by).size())


def backlog(frame: pd.DataFrame, by: str) -> Counts:
    return volume(frame[frame["closed"].isna()], by)


def met(frame: pd.DataFrame, by: str) -> dict[str, tuple[int, int]]:
    """Requests closed in time, and all: what is open is long past due."""
    in_time = frame.assign(met=frame["closed"] <= frame["due"]).groupby(by)["met"]
    return {str(key): (int(one.sum()), len(one)) for key, one in in_time}


def percentile(frame: pd.DataFrame, by: str, share: int) -> dict[str, float]:
    """Seconds to close, by nearest rank: the smallest that at least `share` % do not exceed."""
    closed = frame[frame["closed"].notna()].groupby(by)["seconds"]
    return {str(key): float(one.sort_values().iloc[_rank(len(one), share)]) for key, one in closed}


def _rank(count: int, share: int) -> int:
    return -(-count * share // 100) - 1


def mean(frame: pd.DataFrame, by: str) -> dict[str, float]:
    closed = frame[frame["closed"].notna()].groupby(by)["seconds"]
    return {str(key): float(one.sum() / len(one)) for key, one in closed}


def _ints(counts: pd.Series[int]) -> Counts:
    return {str(key): int(count) for key, count in counts.items()}
