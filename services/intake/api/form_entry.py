"""Who may post a form, and what was posted: the guards before the answers are looked at."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

from shared.forms import HONEYPOT, Form, Link, PageToken, Signer
from shared.problem import Problem

MAX_BODY = 256 * 1024
MAX_FIELDS = 300
URLENCODED = "application/x-www-form-urlencoded"
TOKEN, SHOWN = "_token", "_shown"


def same_origin(request: Request, public_url: str) -> None:
    """Raises Problem 403 for a post from another site's page.

    There is no cookie to ride on; this keeps other sites from making their visitors write to us. Browsers
    say it themselves (Sec-Fetch-Site); older ones send Origin; what sends neither is no browser.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        hosts = {request.headers.get("host", "").lower(), urlsplit(public_url).netloc.lower()}
        ours = origin is None or _host(origin) in hosts - {""}
    if not ours:
        raise Problem(403, "A form is posted from its own page only.")


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def read_fields(body: bytes) -> dict[str, list[str]]:
    """The fields of a posted form, each with all its values. Raises Problem 400 or 413."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise Problem(400, "The form is not in UTF-8.") from None
    except ValueError:
        raise Problem(413, f"The form has more than {MAX_FIELDS} fields.", limit=MAX_FIELDS) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def address_of(request: Request) -> str:
    """Whose posts are counted together: an IPv4 address, or the /64 that one line has of IPv6."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def fresh_token(form: Form, now: float, link: Link | None) -> PageToken:
    """For a page that is shown now."""
    spec = form.spec
    return PageToken(
        form=form.name,
        nonce=secrets.token_urlsafe(16),
        not_before=now + spec.minimum_seconds,
        not_after=now + spec.open_hours * 3600,
        link=link,
    )


def renewed_token(form: Form, now: float, old: PageToken | None) -> PageToken:
    """For a page that comes back because its token was of no use. It keeps its identity, so that nothing is
    taken twice; and whoever has filled it in need not wait again."""
    token = fresh_token(form, now, old.link if old else None)
    return PageToken(
        form=form.name,
        nonce=old.nonce if old else token.nonce,
        not_before=now,
        not_after=token.not_after,
        link=token.link,
    )


def token_of(typed: Mapping[str, Sequence[str]], form: Form, signer: Signer) -> PageToken | None:
    """The token of a page of this form, expired or not; None for anything else."""
    said = typed.get(TOKEN, ())
    token = signer.read(said[0], PageToken) if len(said) == 1 else None
    return token if token and token.form == form.name else None


def by_a_program(typed: Mapping[str, Sequence[str]], token: PageToken | None, now: float) -> bool:
    """Whether the box that nobody sees was filled in, or the page was sent faster than anybody reads."""
    return any(typed.get(HONEYPOT, ())) or (token is not None and now < token.not_before)
