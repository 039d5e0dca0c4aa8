"""Figures of a file computed a second way: by pandas, straight from its rows and its import mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).parents[2]
NYC311 = ROOT / "deploy" / "demo" / "nyc311.csv"
NYC311_MAPPING = ROOT / "deploy" / "mappings" / "nyc311.yaml"


def mapped(file: Path = NYC311, mapping: Path = NYC311_MAPPING) -> pd.DataFrame:
    """The rows as feedback by the mapping's rules: a column per field, `occurred_at` in UTC, "" where empty.

    The same (source, external_id) is one feedback, however often it stands in the file.
    """
    rules = yaml.safe_load(mapping.read_text(encoding="utf-8"))
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    fields = {name: _field(rows, rule) for name, rule in rules["fields"].items()}
    constants = {name: value for name, value in rules.get("set", {}).items() if name not in fields}
    frame = pd.DataFrame(fields).assign(source=rules["source"], **constants)
    return frame.drop_duplicates("external_id")


def feedback_volume(frame: pd.DataFrame, *by: str) -> dict[Any, int]:
    """How many feedback per value of `by` (a tuple of values when there are several)."""
    return {
        key: int(count) for key, count in frame.groupby(list(by) if len(by) > 1 else by[0]).size().items()
    }


def feedback_volume_by_hour(frame: pd.DataFrame) -> dict[pd.Timestamp, int]:
    """How many feedback per UTC hour."""
    return {
        hour: int(count) for hour, count in frame.groupby(frame["occurred_at"].dt.floor("h")).size().items()
    }


def _field(rows: pd.DataFrame, rule: Any) -> pd.Series[Any]:
    """One field of all rows: a column as it is, by a table with a default, or a time in a zone."""
    rule = {"column": rule} if isinstance(rule, str) else rule
    column = rows[rule["column"]].str.strip()
    if "format" in rule:
        local = pd.to_datetime(column, format=rule["format"]).dt.tz_localize(rule["zone"])
        return local.dt.tz_convert("UTC")
    if "map" in rule:
        return column.map(rule["map"]).fillna(rule.get("default", ""))
    return column.where(column != "", rule.get("default", ""))
