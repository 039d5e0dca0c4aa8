"""API keys, `cqm_ID_SECRET`: made with 256 random bits, kept as SHA-256 in a YAML file.

The file is that of CQM_KEYS; `cqm token` writes it, services read it. A plain hash is enough: nobody guesses
256 random bits, so there is nothing that a slow one would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML

from shared.errors import SetupError
from shared.permission import GRANTS
from shared.policy.source import Source, read_source
from shared.principal import PREFIX, Role, Scope
from shared.rate_limit import rate_per_second


def _checked_rate(text: str) -> str:
    rate_per_second(text)
    return text


RateText = Annotated[str, AfterValidator(_checked_rate)]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]


class KeyEntry(BaseModel):
    """One key. `source`: the only one that its signals may name; `rate` and `burst`: of its token bucket.
    Without `roles` it is an integration's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Line
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    roles: frozenset[Role] = frozenset()
    departments: frozenset[Line] = frozenset()
    source: Line | None = None
    rate: RateText | None = None
    burst: int | None = Field(default=None, ge=1, le=10_000_000)
    created: AwareDatetime
    expires: AwareDatetime | None = None

    @model_validator(mode="after")
    def _departments_are_named(self) -> Self:
        bound = sorted(role for role in self.roles if GRANTS[role].reach == "named")
        if bound and not self.departments:
            raise ValueError(f"{bound[0]} is a role in departments: name them")
        return self

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now


Keys = Mapping[str, KeyEntry]
"""Entries by the key's id."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keys: dict[Annotated[str, Field(pattern=r"^[a-z0-9]{1,32}$")], KeyEntry]


class Parts(NamedTuple):
    """What a key consists of."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}_{self.secret}"


def new_parts() -> Parts:
    """A new key: 60 bits that name it, 256 bits that prove it."""
    name = "".join(secrets.choice("0123456789abcdefghjkmnpqrstvwxyz") for _ in range(12))
    return Parts(name, secrets.token_urlsafe(32))


def digest_of(key: Parts) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.secret.encode()).hexdigest()


class Proof:
    """What is kept of a key, to hold a secret against."""

    __slots__ = ("_digest",)

    def __init__(self, sha256: str) -> None:
        self._digest = bytes.fromhex(sha256)

    def matches(self, secret: str) -> bool:
        """In a time that does not tell how much of it was right."""
        found = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(found, self._digest)


def read_keys(path: Path) -> Keys:
    """Raises SetupError with every finding by file and line."""
    source = read_source([path])
    if not source.findings:
        try:
            return _Document.model_validate(source.data).keys
        except ValidationError as error:
            _report(error, source)
    raise SetupError("the keys are refused:\n" + "\n".join(map(str, sorted(source.findings))))


def _report(error: ValidationError, source: Source) -> None:
    reasons = {"extra_forbidden": "unknown key", "missing": "is missing"}
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        keys = tuple(step for step in problem["loc"] if step != "[key]")
        source.report(keys, reasons.get(problem["type"], problem["msg"].removeprefix("Value error, ")))


def write_keys(path: Path, keys: Keys) -> None:
    """Replace the file at once or not at all; only its owner may read it. Raises OSError."""
    document = {"keys": {id: _written(entry) for id, entry in sorted(keys.items())}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write("# Written by `cqm token`. Secrets are kept as SHA-256 and cannot be shown again.\n")
            YAML(typ="safe").dump(document, file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _written(entry: KeyEntry) -> dict[str, object]:
    said = entry.model_dump(mode="json", exclude_defaults=True)
    lists = {"scopes": entry.scopes, "roles": entry.roles, "departments": entry.departments}
    return said | {name: sorted(words) for name, words in lists.items() if words}
