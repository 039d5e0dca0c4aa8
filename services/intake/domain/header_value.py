"""Values of CloudEvents' attributes in HTTP headers (HTTP protocol binding 1.0.2, 3.1.3.2)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def header_value(raw: bytes) -> str:
    """An attribute's value from its header. Raises ValueError with what is wrong, never with the value."""
    if not _PRINTABLE.fullmatch(raw):
        raise ValueError("must be printable ASCII: percent-encode what is not")
    text = raw.decode("ascii").strip(" ")
    if text.startswith('"'):
        if not (quoted := _QUOTED.fullmatch(text)):
            raise ValueError("begins with a quotation mark and does not end with one")
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    if _STRAY_PERCENT.search(text):
        raise ValueError("has a % without two hexadecimal digits: write the sign itself as %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 behind its percent-encoding") from None
