"""What is told of a case to those who do not see its customer's name, phone and email."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shared.events import Customer, Personal

HIDDEN = "[hidden]"
_SHORTEST = 2
"""A single letter stands in too many words to be anybody's name."""


def shown_customer(customer: Customer, *, personal: bool) -> dict[str, str]:
    """The customer, with `personal` data where there are any."""
    view = {"id": customer.id, "tier": customer.tier, "region": customer.region}
    if personal and customer.personal is not None:
        view |= _said(customer.personal)
    return view


def struck(told: Any, customer: Customer) -> Any:
    """`told`, a text or lists and maps of texts, without name, phone and email as the case knows them.

    What somebody writes of the customer in other words stays: nobody can tell it from the matter.
    """
    words = _said(customer.personal).values() if customer.personal is not None else ()
    found = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
    if not found:
        return told
    return _struck(told, re.compile("|".join(map(_alone, found)), re.IGNORECASE))


def _struck(told: Any, found: re.Pattern[str]) -> Any:
    if isinstance(told, str):
        return found.sub(HIDDEN, told)
    if isinstance(told, dict):
        return {name: _struck(value, found) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_struck(value, found) for value in told]
    return told


def _said(personal: Personal) -> dict[str, str]:
    said: dict[str, str] = msgspec.to_builtins(personal)
    return said


def _alone(word: str) -> str:
    """Not within a longer word of Latin letters or digits; Chinese is written without borders."""
    before = r"(?<![0-9A-Za-z])" if re.match(r"[0-9A-Za-z]", word) else ""
    after = r"(?![0-9A-Za-z])" if re.search(r"[0-9A-Za-z]\Z", word) else ""
    return before + re.escape(word) + after
