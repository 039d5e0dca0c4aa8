"""Where a record goes, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import Outgoing
from shared.errors import PermanentError, Unavailable
from shared.partitioner import partition_of, partitions_of
from shared.publish import Publisher
from shared.topics import DEAD_LETTERS, FEEDBACK, MAX_RECORD_BYTES

JAVA = [
    ("61", 2_731_586_172, 4, 4),
    ("e5aea2e688b72d3432", 3_754_438_016, 0, 0),
    ("80", 857_690_492, 2, 8),
    ("5a6fc3ab", 2_988_509_982, 4, 10),
    ("0192f0e47c2a7d319b3eabcdefabcdef", 2_928_702_787, 5, 11),
]
"""Of Java's own client: key, murmur2 without sign, its partition of 6 and of 12.

One key is text in Chinese, one is not UTF-8, one is the 16 bytes of a UUID.
"""


@pytest.mark.parametrize(("key", "hashed", "of_six", "of_twelve"), JAVA)
def test_a_key_goes_where_java_sends_it(key: str, hashed: int, of_six: int, of_twelve: int) -> None:
    raw = bytes.fromhex(key)
    assert murmur2(raw) & 0xFFFFFFFF == hashed
    assert (partition_of(raw, 6), partition_of(raw, 12)) == (of_six, of_twelve)


@given(st.binary(max_size=64), st.integers(1, 64))
def test_a_key_goes_where_the_clients_partitioner_sends_it(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, every, every)


def of_size(topic: str, size: int) -> Outgoing:
    return Outgoing(topic, b"k", b"x" * size, [])


@pytest.fixture
def publisher() -> Publisher:
    """Never connected: whatever it would send fails."""
    return Publisher("127.0.0.1:1", client_id="test")


async def test_nothing_to_publish_needs_no_connection(publisher: Publisher) -> None:
    await publisher.publish([])


async def test_before_it_is_connected_a_publication_is_unavailable(publisher: Publisher) -> None:
    with pytest.raises(Unavailable, match="not connected"):
        await publisher.publish([of_size(FEEDBACK.name, 10)])


async def test_an_oversize_record_is_refused_before_anything_is_sent(publisher: Publisher) -> None:
    small, large = of_size(FEEDBACK.name, 10), of_size(FEEDBACK.name, MAX_RECORD_BYTES)
    with pytest.raises(PermanentError, match=str(MAX_RECORD_BYTES)) as refused:
        await publisher.publish([small, large])
    assert refused.value.reason == "too_large"


async def test_a_dead_letter_may_be_larger_than_the_record_that_failed(publisher: Publisher) -> None:
    with pytest.raises(Unavailable):
        await publisher.publish([of_size(DEAD_LETTERS.name, MAX_RECORD_BYTES + 50_000)])
    with pytest.raises(PermanentError):
        await publisher.publish([of_size(DEAD_LETTERS.name, 2 * MAX_RECORD_BYTES)])


async def test_large_headers_count_as_well(publisher: Publisher) -> None:
    record = Outgoing(FEEDBACK.name, b"k", b"x" * (MAX_RECORD_BYTES - 100), [("h", b"y" * 200)])
    with pytest.raises(PermanentError):
        await publisher.publish([record])


@given(st.integers(0, 40), st.integers(1, 64), st.data())
def test_keys_that_are_hashed_together_go_where_each_of_them_goes(
    length: int, partitions: int, data: st.DataObject
) -> None:
    alike = data.draw(st.lists(st.binary(min_size=length, max_size=length), max_size=80))
    keys = [*alike * 2, *data.draw(st.lists(st.binary(max_size=9), max_size=9))]
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]
