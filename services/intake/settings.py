"""Settings of intake, from the environment (CQM_*); shared/settings.py has those of every service."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings

MIB = 1024 * 1024


class IntakeSettings(Settings):
    port: int = Field(default=8001, ge=0, le=65535)
    publish_deadline: float = Field(
        default=1.5, gt=0, le=60, description="seconds until Kafka must have acknowledged; then 503"
    )
    in_flight_bytes: int = Field(
        default=64 * MIB,
        ge=MIB,
        description="bodies held at the same time, inflated; beyond it 503 at once",
    )
    body_seconds: float = Field(
        default=10.0, gt=0, le=600, description="seconds a body may take to arrive; then 408"
    )
