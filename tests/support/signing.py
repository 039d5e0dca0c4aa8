"""The other end of a webhook: signatures as the senders make them, with secrets of the tests' own."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime

from standardwebhooks import Webhook

SECRETS = {
    "CQM_HOOK_GENERIC": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "CQM_HOOK_ZENDESK": "dGhpcyBpcyBhIHNlY3JldCBvZiBhIHRlc3Q=",
    "CQM_HOOK_SHOPIFY": "0123456789abcdef0123456789abcdef",
    "CQM_HOOK_TYPEFORM": "secret-of-a-typeform",
    "CQM_HOOK_ALERTMANAGER": "token-of-an-alertmanager",
}
Headers = dict[str, str]


def standard(body: bytes, at: datetime, identity: str = "msg_1") -> Headers:
    """Signed by the reference library of Standard Webhooks."""
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRETS["CQM_HOOK_GENERIC"]).sign(identity, at, body.decode()),
    }


def zendesk(body: bytes, at: datetime) -> Headers:
    sent = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "x-zendesk-webhook-id": "01EXAMPLE0000000000000000B",
        "x-zendesk-webhook-signature": _base64("CQM_HOOK_ZENDESK", sent.encode() + body),
        "x-zendesk-webhook-signature-timestamp": sent,
    }


def shopify(body: bytes, at: datetime) -> Headers:
    signature = _base64("CQM_HOOK_SHOPIFY", body)
    return {"x-shopify-webhook-id": "b54557e4", "x-shopify-hmac-sha256": signature}


def typeform(body: bytes, at: datetime) -> Headers:
    return {"typeform-signature": f"sha256={_base64('CQM_HOOK_TYPEFORM', body)}"}


def bearer(body: bytes, at: datetime) -> Headers:
    return {"authorization": f"Bearer {SECRETS['CQM_HOOK_ALERTMANAGER']}"}


SIGNERS: dict[str, Callable[[bytes, datetime], Headers]] = {
    "generic": standard,
    "zendesk": zendesk,
    "shopify-refund": shopify,
    "typeform": typeform,
    "alertmanager": bearer,
}
"""By the shipped adapter."""


def _base64(name: str, content: bytes) -> str:
    return b64encode(hmac.new(SECRETS[name].encode(), content, hashlib.sha256).digest()).decode()
