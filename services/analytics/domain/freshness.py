"""How far figures are complete: the moment up to which every partition behind them has been counted.

A partition is complete up to the last moment at which somebody saw its end where counting has come to since:
whatever had been said by then is in. So one that is empty, idle or fully read holds nothing back. One whose
end has not been reached for longer than looks are kept is as far as the latest event counted of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from shared.handler import Partition


class Look(NamedTuple):
    """Where the partitions began and ended (the next offset to be written) at a moment."""

    at: datetime
    begins: Mapping[Partition, int]
    ends: Mapping[Partition, int]


class Reached(NamedTuple):
    """How far a partition is counted: the next offset (None: nothing was counted), and the latest event."""

    next: int | None = None
    latest: datetime | None = None


NOWHERE = Reached()


def complete_up_to(
    topics: Collection[str], looks: Sequence[Look], reached: Mapping[Partition, Reached]
) -> datetime | None:
    """The moment up to which all partitions of the topics are in; `looks` in the order of time.

    None while that cannot be said: before the first look, and while of a partition that has records none
    was counted.
    """
    if not looks:
        return None
    partitions = [partition for partition in looks[-1].ends if partition.topic in topics]
    moments = [_up_to(partition, looks, reached.get(partition, NOWHERE)) for partition in partitions]
    known = [moment for moment in moments if moment is not None]
    return min(known) if known and len(known) == len(moments) else None


def _up_to(partition: Partition, looks: Sequence[Look], reached: Reached) -> datetime | None:
    for look in reversed(looks):
        end = look.ends.get(partition)
        if end is None:
            continue
        following = look.begins[partition] if reached.next is None else reached.next
        if end <= following:
            return look.at
    return reached.latest
