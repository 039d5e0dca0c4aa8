"""Settings of analytics: from the environment (CQM_*), and of the policy the day on which weeks start."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from services.analytics.domain.periods import MONDAY, WEEKDAYS
from shared.errors import SetupError
from shared.settings import Settings


class AnalyticsSettings(Settings):
    """Port 8004; days, weeks and months are those of `reporting_zone` where a request names no zone."""

    port: int = Field(default=8004, ge=0, le=65535)
    reporting_zone: str = Field(default="UTC", description="IANA time zone where a request names none")
    voice: bool = Field(
        default=True, description="count the terms of texts; the first Chinese one takes 34 MB of memory"
    )
    facts_per_answer: int = Field(
        default=2_000_000, ge=1, description="most facts read for one answer that is not kept ready"
    )
    facts_per_replay: int = Field(
        default=100_000,
        ge=1,
        description="most facts, all of the log's, that figures are recomputed of from Kafka's log",
    )

    generation: int | None = Field(
        default=None, ge=2, description="of figures that are built anew (`cqm rebuild analytics` sets it)"
    )

    @field_validator("reporting_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("CQM_REPORTING_ZONE must be an IANA time zone such as Asia/Shanghai") from error
        return name


def first_weekday(folder: Path) -> int:
    """The weekday of organisation.week_starts in a policy's folder (or file); Monday where it says none.

    The rest is not looked at: to load a policy takes 30 MB, and whether it is a good one is said by the
    services that decide by it, and by `cqm policy check`. Raises SetupError for no YAML and no weekday.
    """
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if folder.is_dir() else [folder]
    day = WEEKDAYS[MONDAY]
    for file in files:
        organisation = _read(file).get("organisation")
        if isinstance(organisation, dict):
            day = organisation.get("week_starts", day)
    if day not in WEEKDAYS:
        raise SetupError(f"organisation.week_starts in {folder} must be one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(day)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = YAML(typ="safe").load(file.read_bytes())
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise SetupError(f"{file} cannot be read as YAML: {type(error).__name__}") from error
    return found if isinstance(found, dict) else {}
