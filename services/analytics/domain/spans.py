"""Spans of time as they are counted: whole seconds, and a bin of the sketch that percentiles come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import floor

BinOf = Callable[[float], int]
"""The bin of a positive number of seconds in the sketch."""
ValueOf = Callable[[int], float]
"""The seconds that a bin stands for."""
NO_TIME_BIN = -1
"""The bin of zero seconds; one second and more have bins from 0 up."""


def span(seconds: int, bin_of: BinOf) -> tuple[int, int]:
    """The seconds with their bin."""
    return seconds, bin_of(seconds) if seconds else NO_TIME_BIN


def middle(bin_of: BinOf, value_of: ValueOf) -> ValueOf:
    """What a bin stands for, given that it was filled with whole seconds: the harmonic mean of the first and
    the last that it holds, off from none of them by more than the sketch's relative error. Where it holds
    one, that one: rounded, 58 seconds would be 59, which is off by more.
    """

    @cache
    def seconds(number: int) -> float:
        gamma = value_of(number) / value_of(number - 1)
        border = value_of(number) * (1 + gamma) / 2
        first, last = floor(border / gamma) + 1, max(1, floor(border))
        # where a border is a whole second, a rounding error decides on which side of it that lies
        if bin_of(first) < number:
            first += 1
        elif first > 1 and bin_of(first - 1) == number:
            first -= 1
        if bin_of(last) > number:
            last -= 1
        elif bin_of(last + 1) == number:
            last += 1
        return first if first == last else 2 * first * last / (first + last)

    return seconds
