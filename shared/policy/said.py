"""A feedback as a sender says it (POST /v1/feedback), read for a trial: what would the policy decide?

Intake is the judge of what may come in; here only so much is checked that a trial is not misled: unknown
fields, wrong words and what is too long are refused. Personal data are left out, since no condition can
read them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.errors import CQMError
from shared.events import FeedbackReceived
from shared.language import language_of
from shared.policy.fields import LONGEST, LONGEST_LINE, LONGEST_NAME, MOST_ATTRIBUTES

_ADDED = {"id", "received_at", "fingerprint"}
_FIELDS = {field.name for field in msgspec.structs.fields(FeedbackReceived)} - _ADDED
_PERSONAL = ("name", "phone", "email")
_NO_ID = UUID(int=0)


class NotFeedback(CQMError):
    """What was given is no feedback; the message says why. Of what is too long, the field and its limit."""

    def __init__(self, message: str, field: tuple[str, ...] = (), limit: int | None = None) -> None:
        super().__init__(message)
        self.field, self.limit = field, limit


def feedback_as_said(raw: bytes, now: datetime) -> FeedbackReceived:
    """The event of one JSON object as of `now`; without an id of its own. Raises NotFeedback."""
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotFeedback(f"not JSON: {error}") from error
    if not isinstance(said, dict):
        raise NotFeedback("a feedback is one JSON object")
    unknown = sorted(said.keys() - _FIELDS)
    if unknown:
        raise NotFeedback(f"unknown field {', '.join(unknown)[:100]}")
    _check_lengths(said)
    if not (said.get("text") or said.get("subject") or said.get("rating")):
        raise NotFeedback("one of text, subject and rating is required")
    try:
        return msgspec.convert(_as_event(said, now), FeedbackReceived)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        if reason.startswith("Invalid"):  # msgspec would repeat the value
            reason = "is none of the values allowed"
        raise NotFeedback(f"{reason} - at {place}" if place else reason) from error


def _check_lengths(said: dict[str, Any]) -> None:
    """A text longer than intake takes is no feedback's, and to decide about it takes that much longer."""
    for name, value in said.items():
        if isinstance(value, dict):
            _check_names(name, value)
            for inner in value.keys() - _PERSONAL:
                _check_length((name, inner), value[inner])
        else:
            _check_length((name,), value)


def _check_names(group: str, value: dict[str, Any]) -> None:
    """First of all: names stand in what is answered."""
    if len(value) > MOST_ATTRIBUTES:
        raise NotFeedback(f"{group} has more than {MOST_ATTRIBUTES} names", (group,), MOST_ATTRIBUTES)
    if any(len(name) > LONGEST_NAME for name in value):
        reason = f"{group} has a name of more than {LONGEST_NAME} characters"
        raise NotFeedback(reason, (group,), LONGEST_NAME)


def _check_length(field: tuple[str, ...], value: Any) -> None:
    limit = LONGEST.get(field[0], LONGEST_LINE)
    if isinstance(value, str) and len(value) > limit:
        raise NotFeedback(f"{'.'.join(field)} has more than {limit:,} characters", field, limit)


def _as_event(said: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The event's fields: what the sender leaves out is what intake would put in."""
    event = {name: value for name, value in said.items() if name != "language" or value}
    event |= {"id": _NO_ID, "received_at": now}
    event.setdefault("source", "")
    event.setdefault("occurred_at", now)
    texts = [text for text in (said.get("text"), said.get("subject")) if isinstance(text, str)]
    event.setdefault("language", language_of(*texts))
    if isinstance(customer := said.get("customer"), dict):
        event["customer"] = {name: value for name, value in customer.items() if name not in _PERSONAL}
    return event
