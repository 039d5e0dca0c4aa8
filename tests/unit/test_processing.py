"""How a poll is cut into transactions, and what is done with a record before its turn."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ahead import Ahead
from shared.clock import SystemClock
from shared.errors import PermanentError
from shared.events import Words
from shared.exactly_once import Position
from shared.handler import Batch, Decision, Handler, Partition
from shared.processing import Polled, Processor, split, take
from tests.support.seals import SEALS
from tests.support.spine import feedback, record

polls = st.dictionaries(
    st.integers(0, 11).map(lambda number: Partition("t", number)),
    st.integers(1, 40).map(lambda count: list(range(count))),
    min_size=1,
)


def everything(parts: list[Polled]) -> dict[Partition, list[int]]:
    whole: dict[Partition, list[int]] = {}
    for part in parts:
        for partition, records in part.items():
            whole.setdefault(partition, []).extend(records)
    return whole


@given(polls, st.integers(1, 100))
def test_a_poll_is_taken_in_pieces_in_order_and_nothing_is_left_out(
    poll: dict[Partition, list[int]], most: int
) -> None:
    parts, left = [], poll
    while left:
        now, left = take(left, most)
        assert sum(map(len, now.values())) <= max(most, len(now))
        parts.append(now)
    assert everything(parts) == poll


@given(polls)
def test_a_failed_poll_is_split_in_order_down_to_single_records(poll: dict[Partition, list[int]]) -> None:
    parts: list[Polled] = [poll]
    while any(len(part) > 1 or len(next(iter(part.values()))) > 1 for part in parts):
        parts = [smaller for part in parts for smaller in split(part)]
    assert everything(parts) == poll


HERE = Partition("t", 0)


def polled(*texts: str) -> list[Any]:
    told = [record(feedback(number, text=text), "t") for number, text in enumerate(texts)]
    return [
        SimpleNamespace(value=one.value, headers=one.headers, offset=place) for place, one in enumerate(told)
    ]


def fails_on_bad(event: Any) -> str:
    if event.text == "bad":
        raise ValueError(event.text)
    return f"seen {event.text}"


def test_what_was_read_ahead_is_what_its_turn_gets() -> None:
    ahead, records = Ahead(fails_on_bad), polled("a", "b")
    asyncio.run(ahead.read({HERE: records[:1]}))
    first, second = (ahead.received(HERE, one) for one in records)
    assert (first.event.text, first.foreseen, first.offset) == ("a", "seen a", 0)
    assert (second.event.text, second.foreseen, second.offset) == ("b", None, 1)
    ahead.forget()
    assert ahead.received(HERE, records[0]).foreseen is None


def test_an_error_ahead_of_time_harms_nobody_and_is_met_in_its_turn() -> None:
    ahead, records = Ahead(fails_on_bad), polled("bad", "a", "b")
    records[1].value = b"no JSON"
    asyncio.run(ahead.read({HERE: records}))
    assert ahead.received(HERE, records[0]).foreseen is None
    with pytest.raises(PermanentError):
        ahead.received(HERE, records[1])
    assert ahead.received(HERE, records[2]).foreseen == "seen b"


def test_what_people_said_is_opened_ahead_and_in_its_turn() -> None:
    ahead, records = Ahead(lambda event: event.text, SEALS), polled("a", "b", "c")
    for one in records:
        said = msgspec.json.decode(one.value)
        sealed = SEALS.seal(b"C-1", msgspec.json.encode(Words(text=said.pop("text"))))
        one.value = msgspec.json.encode(said | {"sealed": sealed})
    asyncio.run(ahead.read({HERE: records[:1]}))
    ahead.decode([(HERE, one) for one in records[:2]])
    received = [ahead.received(HERE, one) for one in records]
    assert [(one.event.text, one.foreseen) for one in received] == [("a", "a"), ("b", None), ("c", None)]


class Spine:
    """One whose transactions take so many seconds, whatever their size; it remembers how large they were."""

    group = "g"

    def __init__(self, took: float) -> None:
        self.took, self.sizes = took, list[int]()
        self.positions = {HERE: Position(1, None)}

    async def apply(self, handler: Any, batch: Batch[Any], *given: Any) -> Decision[None]:
        self.sizes.append(len(batch.records))
        return Decision(None)


async def transactions(processor: Processor[None, None], polls: int) -> list[int]:
    """The sizes of those that are made of as many polls of 400 records."""
    (one,) = polled("a")
    records = [SimpleNamespace(value=one.value, headers=one.headers, offset=place) for place in range(400)]
    spine: Any = processor.exactly_once
    for _ in range(polls):
        spine.sizes = []
        await processor.process({HERE: records})
    sizes: list[int] = spine.sizes
    return sizes


async def test_slow_transactions_are_made_smaller_but_not_so_small_that_nothing_gets_done() -> None:
    spine = Spine(took=2.0)
    processor: Processor[None, None] = Processor(spine, Handler(nothing, nothing, nothing), SystemClock())  # type: ignore[arg-type]
    assert await transactions(processor, 9) == [100] * 4
    spine.took = 0.1
    assert await transactions(processor, 3) == [400]


async def test_what_the_server_ended_for_its_age_grows_again_as_soon_as_it_does_not() -> None:
    spine = Spine(took=0.9)
    processor: Processor[None, None] = Processor(spine, Handler(nothing, nothing, nothing), SystemClock())  # type: ignore[arg-type]
    processor._most = 1  # as TooSlow left it
    assert max(await transactions(processor, 2)) > 100


class Interrupted:
    """A spine that is cancelled in the middle of its first transaction, when something was read ahead."""

    group = "g"

    def __init__(self) -> None:
        self.positions = {HERE: Position(1, None)}

    async def apply(self, *given: Any) -> Decision[None]:
        for _ in range(3):
            await asyncio.sleep(0)
        raise asyncio.CancelledError


async def nothing(*given: Any) -> None: ...


def test_a_poll_that_is_cancelled_leaves_nobody_reading_and_nothing_read() -> None:
    """What is left would be taken for a record of the next poll."""
    seen = list[str]()
    handler: Handler[Any, None, None] = Handler(
        nothing, lambda *_: Decision(None), nothing, lambda event: seen.append(event.text) or "seen"
    )
    (one,) = polled("a")
    records = [SimpleNamespace(value=one.value, headers=one.headers, offset=place) for place in range(1500)]

    async def run() -> None:
        processor = Processor(Interrupted(), handler, SystemClock())  # type: ignore[arg-type]
        before = asyncio.all_tasks()
        with pytest.raises(asyncio.CancelledError):
            await processor.process({HERE: records})
        assert asyncio.all_tasks() == before and seen
        assert all(processor._ahead.received(HERE, one).foreseen is None for one in records)

    asyncio.run(run())
