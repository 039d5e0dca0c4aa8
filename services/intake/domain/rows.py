"""A mapped row of a table to a checked feedback: a plain value, where the other doors have JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.intake.domain.checks import check, check_characters
from services.intake.domain.diagnosis import diagnose
from services.intake.domain.inputs import AttributeValue, FeedbackInput
from services.intake.domain.normal import normalised, write
from services.intake.domain.reading import Said

_MOST_NAMES = 10_000
_BACKSLASH, _DELETE = b"\\\x7f"


class _Attributes(msgspec.Struct):
    """Attributes whose names are known to be right."""

    attributes: Annotated[dict[str, AttributeValue], Meta(max_length=50)]


_right_names: set[str] = set()


def read_row(value: dict[str, Any], now: datetime, source: str) -> Said[FeedbackInput]:
    """The feedback in a row; `source` is that of one that names none. Raises Refused with all its flaws.

    A control character in a string is written with a backslash, or is DEL: without both there is none.
    """
    try:
        said = normalised(_converted(value), source)
    except msgspec.ValidationError:
        raise diagnose(msgspec.json.encode(value), FeedbackInput, now) from None
    written = write(said)
    doubtful = _BACKSLASH in written or _DELETE in written
    if check(said, now) or (doubtful and check_characters(said)):
        raise diagnose(msgspec.json.encode(value), FeedbackInput, now)
    return Said(said, written)


def _converted(value: dict[str, Any]) -> FeedbackInput:
    """Every row of a table has the same names of attributes. To match them against their pattern each time
    would take a tenth of all the time that a row takes."""
    attributes = value.get("attributes")
    if attributes is None or not _right_names.issuperset(attributes):
        signal = msgspec.convert(value, FeedbackInput)
        if len(_right_names) < _MOST_NAMES:
            _right_names.update(signal.attributes)
        return signal
    rest = value.copy()
    del rest["attributes"]
    signal = msgspec.convert(rest, FeedbackInput)
    of_row = msgspec.convert({"attributes": attributes}, _Attributes)
    msgspec.structs.force_setattr(signal, "attributes", of_row.attributes)
    return signal
