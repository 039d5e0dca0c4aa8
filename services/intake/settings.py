"""Settings of intake, from the environment (CQM_*); shared/settings.py has those of every service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from shared.forms import SHORTEST_SECRET
from shared.settings import Settings

MIB = 1024 * 1024
FORMS = Path(__file__).parents[2] / "deploy" / "forms"
ADAPTERS = Path(__file__).parents[2] / "deploy" / "adapters"
MAPPINGS = Path(__file__).parents[2] / "deploy" / "mappings"


def _long_enough(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < SHORTEST_SECRET:
        raise ValueError(f"a secret has at least {SHORTEST_SECRET} characters")
    return secret


class IntakeSettings(Settings):
    port: int = Field(default=8001, ge=0, le=65535)
    publish_deadline: float = Field(
        default=1.5, gt=0, le=60, description="seconds until Kafka must have acknowledged; then 503"
    )
    queue_seconds: float = Field(
        default=0.25,
        gt=0,
        le=60,
        description="seconds that what was let in may wait for Kafka: so many are let in, others 503 at once",
    )
    in_flight_bytes: int = Field(
        default=64 * MIB,
        ge=MIB,
        description="bodies held at the same time, inflated; beyond it 503 at once",
    )
    body_seconds: float = Field(
        default=10.0, gt=0, le=600, description="seconds a body may take to arrive; then 408"
    )
    forms: Path = Field(default=FORMS, description="folder of the forms, read again when it changes")
    secret: Annotated[SecretStr, AfterValidator(_long_enough)] = Field(
        default=SecretStr(""),
        description="signs pages and links of forms; 16 characters or more, the same for all replicas",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$",
        description="how the world names this service: in QR codes, and where posts of forms may come from",
    )
    form_posts: int = Field(
        default=30, ge=1, le=100_000, description="posts of forms per minute and address, on each replica"
    )
    adapters: Path = Field(default=ADAPTERS, description="folder of the adapters, read again when it changes")
    mappings: Path = Field(default=MAPPINGS, description="folder of the import mappings")
    import_bytes: int = Field(
        default=2048 * MIB, ge=MIB, description="largest file of an import, as it is sent"
    )
    imports_waiting: int = Field(
        default=200, ge=1, le=100_000, description="unfinished imports in all; beyond it 503"
    )
    imports_of_caller: int = Field(
        default=20, ge=1, le=100_000, description="unfinished imports of one caller; beyond it 429"
    )
    import_lease: float = Field(
        default=15.0, ge=1, le=600, description="seconds until another replica takes over a dead one's import"
    )
    import_days: float = Field(
        default=30.0, gt=0, le=3650, description="days until an ended import is removed, with its file"
    )
