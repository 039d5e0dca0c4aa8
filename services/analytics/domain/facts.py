"""What a batch of events changes: facts to insert, facts to replace, rows to count, records to refuse."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.analytics.domain.rows import Fact, Row
from shared.errors import PermanentError

K = TypeVar("K", bound=Hashable)
F = TypeVar("F", bound=Fact)

LARGEST_INTEGER = 2**40
"""Of seconds and pieces: eight million of the largest still add up within 64 bits."""


@dataclass
class Outcome:
    """`new` and `changed` hold facts by collection; `refused` names events by their place in the batch."""

    new: dict[str, list[Fact]] = field(default_factory=dict)
    changed: dict[str, list[Fact]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[int, PermanentError]] = field(default_factory=list)

    def keep(self, collection: str, known: Mapping[K, F], latest: Mapping[K, F]) -> None:
        """Note what of `latest` is not in `known`, or differs from it."""
        self.new[collection] = [fact for key, fact in latest.items() if key not in known]
        self.changed[collection] = [
            fact for key, fact in latest.items() if key in known and fact is not known[key]
        ]


def out_of_range(name: str, least: int = 0) -> PermanentError:
    """The refusal of an integer that cannot be counted with."""
    return PermanentError("out_of_range", f"{name} must be from {least} to {LARGEST_INTEGER}")
