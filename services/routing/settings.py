"""Settings of routing: those of every service, and its own port."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings


class RoutingSettings(Settings):
    port: int = Field(default=8002, ge=0, le=65535)
    sweep_every: float = Field(
        default=5.0,
        gt=0,
        description="seconds between two looks at what time has brought, unsaid events among it",
    )
