"""Spans of time as they are counted: whole seconds, and a bin of the sketch that percentiles come from."""

from __future__ import annotations

from collections.abc import Callable

BinOf = Callable[[float], int]
"""The bin of a positive number of seconds in the sketch."""
NO_TIME_BIN = -1
"""The bin of zero seconds; one second and more have bins from 0 up."""


def span(seconds: int, bin_of: BinOf) -> tuple[int, int]:
    """The seconds with their bin."""
    return seconds, bin_of(seconds) if seconds else NO_TIME_BIN
