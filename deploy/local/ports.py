"""Ports on the loopback interface: chosen once, remembered in ports.json, kept while they are free."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import msgspec

from deploy.local.errors import LocalError
from deploy.local.folder import write_atomically

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
"""Below the range the kernel takes local ports from (32768 up): a client that keeps dialling a dead server's
port inside that range can end up connected to itself, and the server can then never come back."""
SERVICE_BASE = 8001
BASE_STEP = 100
BOOK = msgspec.json.Decoder(dict[str, int])


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: TIME_WAIT is no hindrance
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class PortBook:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._ports = BOOK.decode(file.read_bytes()) if file.exists() else {}

    def claim(self, name: str) -> int:
        """The port `name` had before if it is free, else a new one, which is remembered."""
        known = self._ports.get(name)
        if known is not None and is_free(known):
            return known
        return self._remember(name, self._pick())

    def service_base(self, wanted: int | None, count: int) -> int:
        """The first of `count` free ports in a row: at `wanted`, else where it was last, else at 8001.

        When one of them is taken, the next free row 100 further up. Raises LocalError when there is none.
        """
        base = wanted or self._ports.get("services", SERVICE_BASE)
        for first in range(base, 65_536 - count, BASE_STEP):
            if all(is_free(first + offset) for offset in range(count)):
                return self._remember("services", first)
        raise LocalError(
            f"no {count} free ports in a row from {base} upwards", "choose another `--port-base`"
        )

    def _pick(self) -> int:
        taken = set(self._ports.values())
        for _ in range(1000):
            port = random.randint(LOWEST, HIGHEST)
            if port not in taken and is_free(port):
                return port
        raise LocalError(f"no free port between {LOWEST} and {HIGHEST} on {HOST}")

    def _remember(self, name: str, port: int) -> int:
        if self._ports.get(name) != port:
            self._ports[name] = port
            write_atomically(self._file, msgspec.json.encode(self._ports))
        return port
