"""Cursors that come back changed: what is none is told so, and no moment leaves the calendar."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cursors import content_of, in_utc

DECODER = msgspec.json.Decoder(tuple[datetime, UUID])


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_what_was_said_comes_back(at: datetime, identity: UUID) -> None:
    cursor = base64.urlsafe_b64encode(msgspec.json.encode((at, identity))).decode()
    assert content_of(cursor, DECODER) == (at, identity)


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with suppress(ValueError):
        content_of(text, DECODER)


@pytest.mark.parametrize("cursor", ["", "x", "\U0001f600", "e30=", "W10=", "!" + "WzFd", "WzEs"])
def test_what_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        content_of(cursor, DECODER)


@pytest.mark.parametrize(
    "at",
    [
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-3))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3))),
        datetime.fromisoformat("2026-03-02"),
    ],
)
def test_a_moment_beyond_the_calendar_or_without_an_offset_is_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match="a moment"):
        in_utc(at)
