"""Settings of every service, from the environment: CQM_KAFKA, CQM_MONGO, ... (docs/configuration.md)."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.rate_limit import rate_per_second

if TYPE_CHECKING:  # the commands of `cqm` read settings too, and FastStream takes 0.3 s to import
    from faststream.security import BaseSecurity

DEMO_POLICY = Path(__file__).parent.parent / "deploy" / "policy" / "demo"


def _checked_rate(text: str) -> str:
    if text != "off":
        rate_per_second(text)
    return text


class KafkaSecurity(BaseSettings):
    """CQM_KAFKA_*: how to speak to a Kafka that asks who is there."""

    model_config = SettingsConfigDict(env_prefix="CQM_KAFKA_", extra="ignore")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for aiokafka's clients; empty for a plain connection."""
        if self.security_protocol == "PLAINTEXT":
            return {}
        options: dict[str, Any] = {"security_protocol": self.security_protocol}
        if "SSL" in self.security_protocol:
            from aiokafka.helpers import create_ssl_context

            options["ssl_context"] = create_ssl_context(cafile=self.ca_file and str(self.ca_file))
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return options

    def for_faststream(self) -> BaseSecurity | None:
        """The same for FastStream's broker, which builds the consumers."""
        if self.security_protocol == "PLAINTEXT":
            return None
        from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

        context = self.options().get("ssl_context")
        if not self.security_protocol.startswith("SASL"):
            return BaseSecurity(ssl_context=context, use_ssl=True)
        forms = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        return forms[self.sasl_mechanism](
            username=self.username,
            password=self.password.get_secret_value(),
            ssl_context=context,
            use_ssl=context is not None,
        )


class Settings(BaseSettings):
    """What all four services share; each adds its own in services/<name>/settings.py."""

    model_config = SettingsConfigDict(env_prefix="CQM_", extra="ignore")

    kafka: str = Field(default="127.0.0.1:9092", description="bootstrap servers, host:port, comma separated")
    mongo: str = Field(
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0", description="URI of a replica set"
    )
    database_prefix: str = Field(
        default="cqm", description="databases are PREFIX_SERVICE, consumer groups PREFIX.SERVICE.TOPIC"
    )
    policy: Path = Field(default=DEMO_POLICY, description="folder of the policy in force")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    auth: Literal["off", "keys", "jwt"] = Field(default="off", description="off is allowed on loopback only")
    auth_off_behind_proxy: bool = Field(
        default=False,
        description="allow CQM_AUTH=off on other addresses: something in front of CQM checks callers",
    )
    keys: Path | None = Field(default=None, description="file of API keys, written by `cqm token`")
    jwks: str = Field(default="", description="keys of the issuer of tokens: a file or an https address")
    jwt_issuer: str = Field(default="", description="`iss` that a token must have")
    jwt_audience: str = Field(default="", description="`aud` that a token must have, or have among others")
    rate: Annotated[str, AfterValidator(_checked_rate)] = Field(
        default="1000/s", description="of each caller that has none of its own, N/s, N/min, N/h, or off"
    )
    head_seconds: float = Field(
        default=10.0, gt=0, le=600, description="seconds until the head of a request must have arrived"
    )
    log: Literal["json", "text"] = "json"
    batch_records: int = Field(default=4000, ge=1, le=20_000)
    batch_window: float = Field(default=0.05, ge=0, le=5, description="seconds a small poll waits for more")
    session_timeout: float = Field(
        default=10.0, ge=6, le=300, description="seconds until a dead replica is missed"
    )
    retry_budget: float = Field(default=30.0, ge=0, description="seconds a failing record is tried again")
    dead_letters_in_a_row: int = Field(default=50, ge=1)
    stuck_after: float = Field(
        default=30.0,
        gt=0,
        description="seconds without progress while records wait, then the consumer restarts",
    )

    @model_validator(mode="after")
    def _without_authentication_on_loopback_only(self) -> Self:
        if self.auth == "off" and not self.auth_off_behind_proxy and not _is_loopback(self.host):
            raise ValueError(
                "CQM_AUTH=off binds to loopback only: set CQM_HOST=127.0.0.1, or "
                "CQM_AUTH_OFF_BEHIND_PROXY=yes when something in front of CQM checks who calls"
            )
        return self

    @model_validator(mode="after")
    def _with_what_authentication_needs(self) -> Self:
        needed = {"off": (), "keys": ("keys",), "jwt": ("jwks", "jwt_issuer", "jwt_audience")}[self.auth]
        if missing := [f"CQM_{name.upper()}" for name in needed if not getattr(self, name)]:
            raise ValueError(f"CQM_AUTH={self.auth} needs {', '.join(missing)}")
        if is_address(self.jwks) and not _is_safe(self.jwks):
            raise ValueError("CQM_JWKS is an https address (http on loopback only) or a file")
        return self

    @property
    def kafka_security(self) -> dict[str, Any]:
        return KafkaSecurity().options()


def is_address(place: str) -> bool:
    """Whether it is to be fetched, and not a file."""
    return place.startswith(("http://", "https://"))


def _is_safe(address: str) -> bool:
    """Who could answer for the issuer could let in anybody."""
    return address.startswith("https://") or _is_loopback(urlsplit(address).hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
