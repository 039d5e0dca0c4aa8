"""The vocabulary between the spine and a service: what a handler gets, and what it answers.

A handler is three functions, load -> decide -> store; the spine (shared/exactly_once.py) runs them in one
transaction, publishes the events that `decide` asks for, and moves the offsets on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from shared.errors import PermanentError
from shared.events import Event

if TYPE_CHECKING:
    from shared.mongo import Session


class Partition(NamedTuple):
    """A partition of a topic; equal to aiokafka's TopicPartition of the same values."""

    topic: str
    partition: int


class Cause(NamedTuple):
    """What an outgoing event is due to: the partition whose fence keeps it, and the trace it belongs to."""

    partition: Partition
    traceparent: bytes = b""


E = TypeVar("E", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Received(Generic[E]):
    """One decoded record. `foreseen` is what the handler said of its event before its turn; None: nothing."""

    event: E
    cause: Cause
    offset: int
    foreseen: Any = None


@dataclass(frozen=True, slots=True)
class Batch(Generic[E]):
    """The records of a poll in order per partition; `now` stays the same when the batch is tried again."""

    records: Sequence[Received[E]]
    now: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    """Time as input: `now` by the database's clock, for the partitions that this replica holds."""

    now: datetime
    partitions: Collection[int]
    topic: str


class Emit(NamedTuple):
    """An event to be said, the key that orders it, and its cause."""

    event: Event
    key: bytes
    at: datetime
    cause: Cause


class Refusal(NamedTuple):
    """A record that the decision found impossible; it goes to the dead letters."""

    offset: int
    partition: Partition
    error: PermanentError


C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Decision(Generic[C]):
    """What a handler wants: `changes` for its store, events to say, records to refuse."""

    changes: C
    events: Sequence[Emit] = ()
    refused: Sequence[Refusal] = ()


B = TypeVar("B")
L = TypeVar("L")


def _nothing(event: Any) -> None:
    """Most handlers can say nothing before they have loaded what is stored."""


@dataclass(frozen=True, slots=True)
class Handler(Generic[B, L, C]):
    """What a service does with a batch: load -> decide -> store.

    `load` and `store` use the given session only and do not translate the driver's errors (the
    transaction has to see them); `decide` is pure. All three run again when the transaction does.
    `foresee` is what can be said of an event by itself: pure, and done before its turn where there is time
    for it (shared/ahead.py); `decide` finds it as `Received.foreseen`, and does without where it is None.
    """

    load: Callable[[B, Session], Awaitable[L]]
    decide: Callable[[B, L], Decision[C]]
    store: Callable[[C, Session], Awaitable[None]]
    foresee: Callable[[Any], Any] = _nothing
