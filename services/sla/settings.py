"""Settings of the sla service, from the environment (docs/configuration.md)."""

from pydantic import Field

from shared.settings import Settings


class SlaSettings(Settings):
    """What the sla service adds to the settings of all."""

    port: int = Field(default=8003, ge=0, le=65535)
    sweep_every: float = Field(
        default=0.25, gt=0, le=5, description="seconds between looks for what has come due"
    )
    sweep_clocks: int = Field(default=2000, ge=1, le=5000, description="most clocks moved in one transaction")
