"""JSON Web Tokens of an issuer that is trusted by its published keys (RFC 7519, 7517, 8725).

What must hold: a signature by a key of the set with one of ALGORITHMS, the issuer, the audience, `exp` and
`nbf` within LEEWAY, a subject. Nothing in a token chooses a key's place or an algorithm that is not listed.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

import msgspec
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError, SecurityWarning
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from shared.errors import SetupError

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY = 60
"""Seconds that clocks may differ."""
REMEMBERED = 1024
"""Tokens whose signature was found right; checking one costs 60 to 270 us."""

# RFC 9864 would rather have EdDSA named by its curve; issuers do not yet.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)

# Other members of a header mean nothing here, so they may be there; `crit` is honoured.
_REGISTRY = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_Words = str | list[str]
_Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Claims(msgspec.Struct, frozen=True):
    """What CQM reads of a token. Lists may be given as text with blanks between (RFC 8693's `scope`)."""

    sub: _Line
    exp: float
    nbf: float = 0
    scope: _Words = ""
    scopes: _Words = ""
    roles: _Words = ""
    departments: _Words = ""

    @property
    def granted(self) -> frozenset[str]:
        return frozenset((*words(self.scope), *words(self.scopes)))

    def in_time(self, now: float) -> bool:
        """`now` in seconds since 1970."""
        return self.nbf - LEEWAY <= now < self.exp + LEEWAY


class TokenRefused(Exception):
    """`code` is a word for the log; the caller is told no more than that the token is not valid."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnknownKey(TokenRefused):
    """No key of this id is known: the issuer may have a new one."""


def words(text: _Words) -> tuple[str, ...]:
    return tuple(text.split() if isinstance(text, str) else text)


def read_key_set(content: bytes) -> KeySet:
    """A JWK Set (RFC 7517). Raises SetupError."""
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        return KeySet.import_key_set(document)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, JoseError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"not a JWK Set with keys in it ({type(error).__name__})") from error


def key_set_file(path: Path) -> KeySet:
    """Raises SetupError."""
    try:
        return read_key_set(path.read_bytes())
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error


class Verifier:
    """Checks tokens against the keys of one issuer; remembers the signatures that were right."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._wanted = jwt.JWTClaimsRegistry(
            now=0,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
        )
        self._keys: KeySet | None = None
        self._known: OrderedDict[str, Claims] = OrderedDict()

    @property
    def ready(self) -> bool:
        return self._keys is not None

    def use(self, keys: KeySet) -> None:
        """From now on these keys and no others."""
        self._keys = keys
        self._known.clear()

    def verify(self, token: str, now: float) -> Claims:
        """`now` in seconds since 1970. Raises TokenRefused; UnknownKey when another set of keys may help."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._known[token] = self._checked(token)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if not claims.in_time(now):
            raise TokenRefused("out_of_time")
        return claims

    def _checked(self, token: str) -> Claims:
        if self._keys is None:
            raise UnknownKey("no_keys_yet")
        try:
            said = jwt.decode(token, self._keys, registry=_REGISTRY).claims
            claims = msgspec.convert(said, Claims)
            # times are checked at each use of the token
            self._wanted.validate({name: said.get(name) for name in ("iss", "aud")})
        except InvalidKeyIdError as error:
            raise UnknownKey("unknown_key") from error
        except msgspec.ValidationError as error:
            raise TokenRefused("claims_do_not_fit") from error
        except (JoseError, ValueError, TypeError) as error:
            raise TokenRefused(getattr(error, "error", "") or type(error).__name__) from error
        return claims
