"""A mapped row of a table to a checked feedback: a plain value, where the other doors have JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.intake.domain.checks import check, check_characters
from services.intake.domain.diagnosis import diagnose
from services.intake.domain.inputs import FeedbackInput
from services.intake.domain.normal import normalised, write
from services.intake.domain.reading import Said

_BACKSLASH, _DELETE = b"\\\x7f"


def read_row(value: dict[str, Any], now: datetime, source: str) -> Said[FeedbackInput]:
    """The feedback in a row; `source` is that of one that names none. Raises Refused with all its flaws.

    A control character in a string is written with a backslash, or is DEL: without both there is none.
    """
    try:
        said = normalised(msgspec.convert(value, FeedbackInput), source)
    except msgspec.ValidationError:
        raise diagnose(msgspec.json.encode(value), FeedbackInput, now) from None
    written, personal = write(said)
    doubtful = _BACKSLASH in written or _DELETE in written
    if check(said, now) or (doubtful and check_characters(said)):
        raise diagnose(msgspec.json.encode(value), FeedbackInput, now)
    return Said(said, written, personal)
