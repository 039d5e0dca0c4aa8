"""Callers as services meet them: API keys and tokens of every role, to be shown as headers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from shared.api_keys import KeyEntry, digest_of, new_parts, write_keys
from shared.permission import GRANTS
from shared.principal import SCOPES, Role
from tests.support.permissions import HERE, ME

ISSUER, AUDIENCE = "https://issuer.example.org/", "cqm"
Headers = dict[str, str]


class Callers:
    """Everybody who calls in a test, all of one name. `settings` let them into a service."""

    def __init__(self, folder: Path, departments: Iterable[str] = (HERE,)) -> None:
        self._here = list(departments)
        self._signs = ECKey.generate_key("P-256", {"kid": "test"})
        (folder / "jwks.json").write_text(json.dumps(KeySet([self._signs]).as_dict(private=False)))
        self._entries: dict[str, KeyEntry] = {}
        self._by_role: dict[Role, Headers] = {role: self._key(role) for role in GRANTS}
        self.with_personal = self._key("integration", {"personal:read"})
        self.unbound = self._key("integration", bound=False)
        write_keys(folder / "keys.yaml", self._entries)
        self.settings: dict[str, Any] = {
            "auth": "jwt", "keys": folder / "keys.yaml", "jwks": str(folder / "jwks.json"),
            "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE,
        }  # fmt: skip

    def __getitem__(self, role: Role) -> Headers:
        return self._by_role[role]

    def token(self, *roles: str, departments: Iterable[str] = (HERE,), name: str = ME) -> Headers:
        said = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": int(datetime.now(UTC).timestamp()) + 300,
            "scope": " ".join(SCOPES), "roles": list(roles), "departments": list(departments),
        }  # fmt: skip
        return _bearer(jwt.encode({"alg": "ES256", "kid": "test"}, said, self._signs, algorithms=["ES256"]))

    def _key(self, role: Role, more: set[str] | None = None, *, bound: bool = True) -> Headers:
        key, scopes = new_parts(), (SCOPES - {"personal:read"}) | (more or set())
        departments = self._here if bound and GRANTS[role].reach != "all" else []
        self._entries[key.id] = KeyEntry.model_validate({
            "name": ME, "sha256": digest_of(key), "scopes": scopes, "created": datetime.now(UTC),
            "roles": [role], "departments": departments,
        })  # fmt: skip
        return _bearer(str(key))


def _bearer(said: str) -> Headers:
    return {"Authorization": f"Bearer {said}"}
