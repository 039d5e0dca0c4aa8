"""JSON Web Tokens: which are let in, and where the issuer's keys come from."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from pydantic import ValidationError

from shared.api_keys import KeyEntry, digest_of, new_parts, write_keys
from shared.auth import Access
from shared.clock import FixedClock
from shared.errors import SetupError, Unavailable
from shared.issuer import FETCH_AGAIN, Issuer
from shared.problem import Problem
from shared.settings import Settings
from shared.tokens import LEEWAY, REMEMBERED, TokenRefused, UnknownKey, Verifier, read_key_set
from tests.support.spine import eventually

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ISSUER, AUDIENCE = "https://issuer.example.org/", "cqm"
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
KEYS = KeySet([RSA, EC, ED])
CLAIMS = {
    "iss": ISSUER, "aud": AUDIENCE, "sub": "li.wei", "exp": SECONDS + 300, "scope": "cases:read cases:write",
    "roles": "agent offline_access", "departments": "logistics",
}  # fmt: skip


def token(claims: dict[str, Any] | None = None, key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    said = {name: value for name, value in (CLAIMS | (claims or {})).items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid, **header}, said, key, algorithms=[alg])


@pytest.fixture
def verifier() -> Verifier:
    made = Verifier(ISSUER, AUDIENCE)
    made.use(read_key_set(json.dumps(KEYS.as_dict(private=False)).encode()))
    return made


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_token_signed_by_the_issuer_is_let_in(verifier: Verifier, key: Any, alg: str) -> None:
    claims = verifier.verify(token(key=key, alg=alg), SECONDS)
    assert (claims.sub, claims.granted) == ("li.wei", {"cases:read", "cases:write"})


def unsigned(header: dict[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, CLAIMS))
    return b".".join((*parts, b"")).decode()


def by_secret() -> str:
    """Signed with the public key as if it were a secret: the old confusion of algorithms."""
    said = unsigned({"alg": "HS256", "kid": "rsa"})
    mac = hmac.digest(RSA.as_pem(private=False), said.rstrip(".").encode(), "sha256")
    return said + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
REFUSED = {
    "none": unsigned({"alg": "none"}),
    "none with the id of a key": unsigned({"alg": "none", "kid": "rsa"}),
    "HS256 with the public key": by_secret(),
    "RS512": token(alg="RS512"),
    "another's key with the same id": token(key=STRANGER),
    "another's key in the header": token(key=STRANGER, jwk=STRANGER.as_dict(private=False)),
    "a signature of another token": token().rpartition(".")[0] + "." + token({"sub": "x"}).rpartition(".")[2],
    "an altered claim": ".".join([token().split(".")[0], unsigned({}).split(".")[1], token().split(".")[2]]),
    "a critical member that nobody knows": unsigned({"alg": "RS256", "kid": "rsa", "crit": ["x"]}),
    "another issuer": token({"iss": "https://other.example.org/"}),
    "no issuer": token({"iss": None}),
    "another audience": token({"aud": "shop"}),
    "other audiences": token({"aud": ["shop", "crm"]}),
    "no audience": token({"aud": None}),
    "expired": token({"exp": SECONDS - LEEWAY}),
    "no expiry": token({"exp": None}),
    "an expiry in words": token({"exp": "tomorrow"}),
    "not yet": token({"nbf": SECONDS + LEEWAY + 1}),
    "no subject": token({"sub": None}),
    "an empty subject": token({"sub": ""}),
    "a subject of several lines": token({"sub": "a\nb"}),
    "a subject that is no text": token({"sub": 7}),
    "scopes that are no words": token({"scopes": {"cases:read": True}}),
    "not a token": "abc",
    "too many dots": "a.b.c.d",
    "empty parts": "..",
    "not base64": "\xff.\xfe.\xfd",
    "an encrypted one": "a.b.c.d.e",
}  # fmt: skip


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_every_other_token_is_refused(verifier: Verifier, refused: str) -> None:
    with pytest.raises(TokenRefused):
        verifier.verify(refused, SECONDS)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": SECONDS - LEEWAY + 1},
        {"nbf": SECONDS + LEEWAY},
        {"aud": ["shop", AUDIENCE]},
        {"exp": SECONDS + 0.5},
        {"extra": {"anything": [1]}},
    ],
)
def test_clocks_may_differ_a_little_and_a_token_may_say_more(
    verifier: Verifier, claims: dict[str, Any]
) -> None:
    assert verifier.verify(token(claims), SECONDS).sub == "li.wei"


def test_a_remembered_token_ends_with_its_time_and_with_its_key(verifier: Verifier) -> None:
    known = token()
    verifier.verify(known, SECONDS)
    with pytest.raises(TokenRefused, match="out_of_time"):
        verifier.verify(known, SECONDS + 300 + LEEWAY)
    verifier.use(KeySet([EC]))
    with pytest.raises(UnknownKey):
        verifier.verify(known, SECONDS)


def test_no_more_tokens_are_remembered_than_so_many(verifier: Verifier) -> None:
    for n in range(REMEMBERED + 20):
        verifier.verify(token({"sub": f"s{n}"}, key=ED, alg="EdDSA"), SECONDS)
    assert len(verifier._known) == REMEMBERED


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "x"}]}', b'{"keys": 1}', b"\xff"]
)
def test_a_set_without_keys_is_refused(content: bytes) -> None:
    with pytest.raises(SetupError):
        read_key_set(content)


# --- where the keys come from ------------------------------------------------------------------------


def settings(jwks: str, **more: Any) -> Settings:
    return Settings(log="text", auth="jwt", jwks=jwks, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **more)


def request(said: str) -> Request:
    headers = [(b"authorization", f"Bearer {said}".encode())]
    return Request({"type": "http", "headers": headers, "state": {}})


def written(path: Path, *keys: Any) -> str:
    path.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))
    return str(path)


def test_the_claims_become_the_principal(tmp_path: Path) -> None:
    access = Access(settings(written(tmp_path / "jwks.json", RSA)), FixedClock(NOW))
    said = {"scopes": ["sla:read", "everything"], "roles": ["supervisor"], "departments": "logistics quality"}
    principal = access.admit(request(token(said)), "cases:write")
    assert principal.scopes == {"cases:read", "cases:write", "sla:read"}, "only what CQM knows"
    assert (principal.roles, principal.departments) == (("supervisor",), ("logistics", "quality"))
    assert (principal.name, principal.label, principal.fixed_source) == ("li.wei", "api", False)


def test_a_refused_token_is_answered_without_a_reason(tmp_path: Path) -> None:
    access = Access(settings(written(tmp_path / "jwks.json", RSA)), FixedClock(NOW))
    details = set()
    unknown = token(key=EC, alg="ES256")
    for said in (token({"exp": 1}), token({"aud": "x"}), token(key=STRANGER), unknown, "x"):
        with pytest.raises(Problem) as refused:
            access.admit(request(said), "cases:read")
        details.add((refused.value.status, refused.value.detail, str(refused.value.headers)))
    assert len(details) == 1 and details.pop()[0] == 401


def test_subjects_have_buckets_of_their_own(tmp_path: Path) -> None:
    access = Access(settings(written(tmp_path / "jwks.json", RSA), rate="1/h"), FixedClock(NOW), lambda: 0.0)
    access.admit(request(token()), "cases:read")
    with pytest.raises(Problem) as refused:
        access.admit(request(token({"jti": "another token"})), "cases:read")
    assert refused.value.status == 429
    assert access.admit(request(token({"sub": "wang"})), "cases:read").name == "wang"


def test_keys_are_let_in_beside_tokens_where_they_are_set(tmp_path: Path) -> None:
    key = new_parts()
    entry = KeyEntry(name="shop", sha256=digest_of(key), scopes=frozenset({"cases:read"}), created=NOW)
    write_keys(tmp_path / "keys.yaml", {key.id: entry})
    jwks = written(tmp_path / "jwks.json", RSA)
    both = Access(settings(jwks, keys=tmp_path / "keys.yaml"), FixedClock(NOW))
    assert both.admit(request(str(key)), "cases:read").name == "shop"
    assert both.admit(request(token()), "cases:read").name == "li.wei"
    with pytest.raises(Problem):
        Access(settings(jwks), FixedClock(NOW)).admit(request(str(key)), "cases:read")


async def test_a_changed_file_of_keys_takes_effect(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    verifier = Verifier(ISSUER, AUDIENCE)
    issuer = Issuer(written(path, RSA), verifier, None, FixedClock(NOW))
    assert issuer.find(token())
    written(path, EC)
    await issuer.look()
    assert issuer.find(token()) is None and issuer.find(token(key=EC, alg="ES256"))


class Address:
    """An issuer's server: how often it was asked, and what it answers."""

    def __init__(self) -> None:
        self.url, self.asked, self.answer = "", 0, b""
        self.was_asked = asyncio.Event()

    def says(self, content: str, status: str = "200 OK") -> None:
        self.answer = f"HTTP/1.1 {status}\r\ncontent-length: {len(content)}\r\n\r\n{content}".encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    made = Address()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with server:
        yield made


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def set_of(*keys: Any) -> str:
    return json.dumps(KeySet(list(keys)).as_dict(private=False))


async def test_keys_are_fetched_and_an_unknown_one_is_asked_for_at_most_every_30_seconds(
    address: Address,
) -> None:
    now = [1000.0]
    issuer = Issuer(address.url, Verifier(ISSUER, AUDIENCE), None, FixedClock(NOW), lambda: now[0])
    with pytest.raises(Unavailable):
        issuer.find(token())
    address.says(set_of(RSA))
    async with in_background(issuer.keep_fetching()):
        await eventually(lambda: issuer.ready)
        assert issuer.find(token()) and issuer.wrong == ""
        address.says(set_of(RSA, EC))
        rotated = token(key=EC, alg="ES256")
        assert issuer.find(rotated) is None, "asked a moment ago"
        assert address.asked == 1
        now[0] += FETCH_AGAIN
        with pytest.raises(Unavailable):
            issuer.find(rotated)
        await eventually(lambda: address.asked == 2)
        await eventually(lambda: not issuer._may_fetch())
        assert issuer.find(rotated)


@pytest.mark.parametrize(
    ("content", "status"),
    [("", "500 Internal Server Error"), ("<html>", "200 OK"), ("", "302 Found"), (" " * 2_000_000, "200 OK")],
)
async def test_what_cannot_be_fetched_is_told_and_leaves_the_keys_as_they_are(
    address: Address, content: str, status: str
) -> None:
    now = [1000.0]
    issuer = Issuer(address.url, Verifier(ISSUER, AUDIENCE), None, FixedClock(NOW), lambda: now[0])
    address.says(set_of(RSA))
    async with in_background(issuer.keep_fetching()):
        await eventually(lambda: issuer.ready)
        address.says(content, status)
        now[0] += FETCH_AGAIN
        with pytest.raises(Unavailable):
            issuer.find(token(key=EC, alg="ES256"))
        await eventually(lambda: bool(issuer.wrong))
        assert address.url in issuer.wrong and issuer.find(token())


async def test_a_service_whose_issuer_never_answered_says_what_is_missing(address: Address) -> None:
    address.says("", "503 Service Unavailable")
    access = Access(settings(address.url), FixedClock(NOW))
    assert not access.ready and address.url in access.problems()[0]
    async with in_background(access.keep_fresh()):
        await eventually(lambda: "503" in access.problems()[0], what="the reason")


def test_an_address_must_be_safe() -> None:
    with pytest.raises(ValidationError, match="https"):
        settings("http://issuer.example.org/jwks")
    assert settings("https://issuer.example.org/jwks").jwks
