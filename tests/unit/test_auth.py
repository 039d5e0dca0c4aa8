"""API keys: who is let in, to do what, how often, and a file that changes meanwhile."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from pydantic import ValidationError

from shared.api_keys import KeyEntry, Parts, digest_of, new_parts, read_keys, write_keys
from shared.auth import Access
from shared.clock import FixedClock
from shared.errors import SetupError
from shared.key_ring import MOST_LABELS, KeyRing
from shared.problem import Problem
from shared.rate_limit import Rate
from shared.settings import Settings

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)


def entry(key: Parts, **changes: Any) -> KeyEntry:
    given = {"name": "shop", "sha256": digest_of(key), "scopes": ["feedback:write"], "created": NOW}
    return KeyEntry.model_validate(given | changes)


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "state": {}})


@pytest.fixture
def key() -> Parts:
    return new_parts()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def access(file: Path, now: datetime = NOW, monotonic: float = 0.0, **settings: Any) -> Access:
    chosen = Settings(log="text", auth="keys", keys=file, **settings)
    return Access(chosen, FixedClock(now), lambda: monotonic)


def refusal(access: Access, scope: str = "feedback:write", **headers: str) -> Problem:
    with pytest.raises(Problem) as refused:
        access.admit(request(**headers), scope)
    return refused.value


def test_a_key_without_a_role_is_that_of_an_integration(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key, scopes=["cases:read"])})
    said = request(authorization=f"Bearer {key}")
    assert access(file).admit(said, "cases:read").roles == ("integration",)


def test_a_role_that_has_no_use_for_a_scope_is_refused_and_the_roles_that_do_are_named(
    file: Path, key: Parts
) -> None:
    changes = {"roles": ["agent"], "departments": ["logistics"], "scopes": ["cases:read", "audit:read"]}
    write_keys(file, {key.id: entry(key, **changes)})
    assert access(file).admit(request(x_api_key=str(key)), "cases:read").departments == ("logistics",)
    refused = refusal(access(file), "audit:read", x_api_key=str(key))
    assert refused.status == 403
    assert refused.extra["roles"] == ("quality_manager", "auditor", "integration")


def put(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {} "])
def test_a_key_is_let_in_as_what_its_entry_says(file: Path, key: Parts, form: str) -> None:
    write_keys(file, {key.id: entry(key, source="shop-cn")})
    principal = access(file).admit(request(authorization=form.format(key)), "feedback:write")
    assert (principal.name, principal.source, principal.fixed_source) == ("shop", "shop-cn", True)
    assert principal.label == "shop-cn" and principal.scopes == {"feedback:write"}


def test_a_key_may_stand_in_x_api_key(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key)})
    principal = access(file).admit(request(x_api_key=str(key)), "feedback:write")
    name = entry(key).name
    assert (principal.source, principal.fixed_source, principal.label) == (name, False, name)


def test_without_a_key_the_answer_says_how_to_bring_one(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key)})
    refused = refusal(access(file))
    assert refused.status == 401 and refused.headers["WWW-Authenticate"] == 'Bearer realm="cqm"'


def test_unknown_wrong_expired_and_senseless_keys_are_answered_the_same(file: Path, key: Parts) -> None:
    other, over = new_parts(), new_parts()
    write_keys(file, {key.id: entry(key), over.id: entry(over, expires=NOW)})
    tried = [
        str(other), f"cqm_{key.id}_{other.secret}", f"cqm_{key.id}_", f"cqm_{key.id}", "cqm_", "cqm___",
        str(over), str(key)[:-1], str(key) + "x", str(key).upper(), "cqm_\xff_\xfe", "secret",
    ]  # fmt: skip
    answers = {
        (refused.status, refused.detail, str(refused.headers))
        for token in tried
        for refused in [refusal(access(file), authorization=f"Bearer {token}")]
    }
    assert len(answers) == 1 and answers.pop()[0] == 401


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Digest x", ""])
def test_another_way_to_say_who_calls_is_none(file: Path, key: Parts, header: str) -> None:
    write_keys(file, {key.id: entry(key)})
    assert refusal(access(file), authorization=header).status == 401


def test_a_key_is_good_until_it_expires(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key, expires=NOW + timedelta(seconds=1))})
    said = {"authorization": f"Bearer {key}"}
    assert access(file).admit(request(**said), "feedback:write").name == "shop"
    assert refusal(access(file, NOW + timedelta(seconds=1)), **said).status == 401


def test_a_missing_scope_is_named(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key)})
    refused = refusal(access(file), "cases:write", authorization=f"Bearer {key}")
    assert (refused.status, refused.document()["scope"]) == (403, "cases:write")
    assert 'error="insufficient_scope", scope="cases:write"' in refused.headers["WWW-Authenticate"]


def test_who_comes_too_often_is_told_when_to_come_again(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key, rate="6/min", burst=2)})
    guard, said = access(file), {"authorization": f"Bearer {key}"}
    for _ in range(2):
        guard.admit(request(**said), "feedback:write")
    refused = refusal(guard, **said)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10")


def test_a_request_costs_one_token_however_often_it_is_asked_about(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key, rate="1/h", burst=1, scopes=["feedback:write", "imports"])})
    guard, same = access(file), request(authorization=f"Bearer {key}")
    for scope in ("feedback:write", "imports", "feedback:write"):
        assert guard.admit(same, scope).name == "shop"
    guard.charge(same, 0)
    assert refusal(guard, authorization=f"Bearer {key}").status == 429


def test_a_batch_pays_for_its_items(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key, rate="10/s", burst=10)})
    guard, batch = access(file), request(authorization=f"Bearer {key}")
    guard.admit(batch, "feedback:write")
    guard.charge(batch, 999)
    refused = refusal(guard, authorization=f"Bearer {key}")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "100")


def test_keys_without_a_rate_have_that_of_the_settings(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key)})
    said = {"authorization": f"Bearer {key}"}
    limited = access(file, rate="1/h")
    limited.admit(request(**said), "feedback:write")
    assert refusal(limited, **said).status == 429
    assert access(file, rate="off").admit(request(**said), "feedback:write").bucket is None


def test_a_new_key_has_256_random_bits_and_is_kept_as_a_hash_that_its_owner_alone_can_read(
    file: Path, key: Parts
) -> None:
    assert len(key.secret) == 43 and str(key) == f"cqm_{key.id}_{key.secret}" and new_parts() != key
    write_keys(file, {key.id: entry(key)})
    assert key.secret not in file.read_text() and read_keys(file)[key.id] == entry(key)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "keys: is missing"),
        ("keys: []", "valid dictionary"),
        ("keys:\n  A-1: {}\n", "should match pattern"),
        ("keys:\n  a1:\n    name: x\n    scops: []\n", "keys.yaml:4: error: keys.a1.scops: unknown key"),
        ("keys:\n  a1: {name: x, sha256: short}\n", "keys.a1.sha256"),
        ("keys: {a1: {rate: 5 per second}}", "such as 50/s"),
        ("keys: [", "not YAML"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_line(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(SetupError) as refused:
        access(file)
    assert expected in str(refused.value)


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        access(file)


async def test_a_changed_file_takes_effect_and_a_broken_one_does_not(file: Path, key: Parts) -> None:
    second = new_parts()
    write_keys(file, {key.id: entry(key)})
    ring = KeyRing(file, None, FixedClock(NOW))
    write_keys(file, {second.id: entry(second)})
    await ring.look()
    assert ring.find(str(key)) is None and ring.find(str(second))
    put(file, "keys: {")
    await ring.look()
    assert ring.find(str(second)) and "not YAML" in ring.wrong
    put(file, None)
    await ring.look()
    assert ring.find(str(second)) and "cannot be read" in ring.wrong
    write_keys(file, {})
    await ring.look()
    assert ring.find(str(second)) is None and ring.wrong == ""


async def test_an_edit_of_the_file_fills_nobodys_bucket(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key, rate="1/s")})
    ring = KeyRing(file, None, FixedClock(NOW))
    before = ring.find(str(key))
    write_keys(file, {key.id: entry(key, rate="1/s", name="renamed")})
    await ring.look()
    after = ring.find(str(key))
    assert before and after and (after.name, after.bucket) == ("renamed", before.bucket)
    write_keys(file, {key.id: entry(key, rate="2/s")})
    await ring.look()
    changed = ring.find(str(key))
    assert changed and changed.bucket is not before.bucket


@pytest.mark.parametrize(
    ("given", "default", "expected"),
    [
        ({}, Rate(5, 50), (5, 50)),
        ({"burst": 7}, Rate(5, 50), (5, 7)),
        ({"rate": "120/min"}, Rate(5, 50), (2, 20)),
        ({"rate": "2/s", "burst": 3}, None, (2, 3)),
        ({"burst": 3}, None, None),
    ],
)
def test_a_bucket_is_as_large_as_the_entry_or_the_settings_say(
    file: Path, key: Parts, given: dict[str, Any], default: Rate | None, expected: tuple[int, int] | None
) -> None:
    write_keys(file, {key.id: entry(key, **given)})
    principal = KeyRing(file, default, FixedClock(NOW)).find(str(key))
    assert principal
    bucket = principal.bucket
    assert (bucket and (bucket.rate, bucket.burst)) == expected


async def test_metrics_tell_a_hundred_sources_apart_and_no_more(file: Path) -> None:
    def many(prefix: str) -> dict[str, KeyEntry]:
        keys = [new_parts() for _ in range(150)]
        return {key.id: entry(key, source=f"{prefix}-{n}") for n, key in enumerate(keys)}

    write_keys(file, many("a"))
    ring = KeyRing(file, None, FixedClock(NOW))
    labels = {known.principal.label for known in ring._known.values()}
    write_keys(file, many("b"))
    await ring.look()
    labels |= {known.principal.label for known in ring._known.values()}
    assert len(labels) < MOST_LABELS and "other" in labels


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({"auth": "keys"}, "CQM_KEYS"),
        ({"auth": "jwt"}, "CQM_JWKS, CQM_JWT_ISSUER, CQM_JWT_AUDIENCE"),
        ({"auth": "jwt", "jwks": "http://example.org", "jwt_issuer": "i", "jwt_audience": "a"}, "https"),
        ({"rate": "fast"}, "such as 50/s"),
    ],
)
def test_settings_that_would_let_in_nobody_or_anybody_are_refused(
    settings: dict[str, Any], needs: str
) -> None:
    with pytest.raises(ValidationError, match=needs):
        Settings(**settings)


def test_with_keys_other_addresses_are_served(file: Path) -> None:
    assert Settings(host="0.0.0.0", auth="keys", keys=file).host == "0.0.0.0"


@pytest.mark.parametrize("actor", ["", "a b", "x" * 129, "<script>"])
def test_without_authentication_the_actor_is_a_header_that_must_fit(actor: str) -> None:
    open_to_all = Access(Settings(log="text"))
    assert open_to_all.admit(request(), "cases:write").name == "anonymous"
    assert open_to_all.admit(request(x_actor="chen"), "cases:write").name == "chen"
    with pytest.raises(Problem) as refused:
        open_to_all.admit(request(x_actor=actor), "cases:write")
    assert refused.value.status == 422 and refused.value.errors[0].pointer == "X-Actor"


def test_with_keys_the_header_for_the_actor_says_nothing(file: Path, key: Parts) -> None:
    write_keys(file, {key.id: entry(key)})
    said = request(authorization=f"Bearer {key}", x_actor="somebody-else")
    assert access(file).admit(said, "feedback:write").name == "shop"
