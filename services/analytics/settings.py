"""Settings of analytics, from the environment (CQM_*)."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from shared.settings import Settings


class AnalyticsSettings(Settings):
    """Port 8004; days, weeks and months are those of `reporting_zone` where a request names no zone."""

    port: int = Field(default=8004, ge=0, le=65535)
    reporting_zone: str = Field(default="UTC", description="IANA time zone where a request names none")
    facts_per_answer: int = Field(
        default=2_000_000, ge=1, description="most facts read for one answer that is not kept ready"
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
