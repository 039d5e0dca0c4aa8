"""Which language a feedback is in, where its sender does not say."""

from __future__ import annotations

import re

from shared.events import Language

_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]")


def language_of(*texts: str) -> Language:
    """zh where an ideograph stands, else en where a Latin letter does. Senders who know better say it."""
    for text in texts:
        if not text.isascii() and _IDEOGRAPH.search(text):
            return "zh"
    for text in texts:
        if _LATIN.search(text):
            return "en"
    return "other"
