import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.ports import BASE_STEP, HIGHEST, LOWEST, PortBook, is_free


@pytest.fixture
def book_file(tmp_path: Path) -> Path:
    return tmp_path / "ports.json"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_that_somebody_listens_on_is_not_free(listener: socket.socket) -> None:
    assert not is_free(listener.getsockname()[1])


def test_a_chosen_port_lies_below_the_kernels_own_range_and_is_remembered(book_file: Path) -> None:
    port = PortBook(book_file).claim("kafka")
    assert LOWEST <= port <= HIGHEST
    assert PortBook(book_file).claim("kafka") == port


def test_a_remembered_port_that_was_taken_meanwhile_is_replaced(book_file: Path) -> None:
    port = PortBook(book_file).claim("kafka")
    with socket.create_server(("127.0.0.1", port)):
        other = PortBook(book_file).claim("kafka")
    assert other != port
    assert PortBook(book_file).claim("kafka") == other


def test_two_names_never_share_a_port(book_file: Path) -> None:
    book = PortBook(book_file)
    assert len({book.claim(name) for name in "abcdefgh"}) == 8


def test_services_move_on_together_when_one_of_their_ports_is_taken(book_file: Path) -> None:
    base = PortBook(book_file).service_base(21_001, 4)
    with socket.create_server(("127.0.0.1", base + 2)):
        moved = PortBook(book_file).service_base(base, 4)
    assert moved > base
    assert (moved - base) % BASE_STEP == 0
    assert PortBook(book_file).service_base(None, 4) == moved


def test_no_row_of_free_ports_is_an_error_that_names_the_option(book_file: Path) -> None:
    with pytest.raises(LocalError, match="--port-base"):
        PortBook(book_file).service_base(65_535, 4)
