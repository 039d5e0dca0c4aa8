"""The ingress of the compose file knows every path of the services: port 8000 is "all paths" there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.commands.verify import RECOMPUTE_SECONDS
from tests.contract.openapi import FOLDER

NGINX = Path(__file__).parents[2] / "deploy/docker/nginx.conf"
OF_EACH_REPLICA = {"/livez", "/readyz"}
"""A replica answers these about itself, so that they lead nowhere through an ingress."""


def mapped() -> list[tuple[str, str]]:
    """Pattern and `service:port` of each line of the map, in the order in which nginx tries them."""
    (block,) = re.findall(r"map \$uri \$service \{(.*?)\n  \}", NGINX.read_text(encoding="utf-8"), re.DOTALL)
    found = re.findall(r"^\s*~(\S+)\s+(\S+);$", block, re.MULTILINE)
    assert len(found) == block.count(";") - 1, "each line but the default is a case-sensitive expression"
    return found


def led_to(path: str) -> str:
    """The service that nginx passes a path to; the first expression that fits wins, as in nginx."""
    return next((service for pattern, service in mapped() if re.search(pattern, path)), "").partition(":")[0]


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.iterdir()))
def test_every_path_of_a_service_reaches_it_through_the_one_address(name: str) -> None:
    paths = (
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["paths"].keys() - OF_EACH_REPLICA
    )
    asked = {path: re.sub(r"\{\w+\}", "0190a000", path) for path in sorted(paths)}
    astray = {path: led_to(one) for path, one in asked.items() if led_to(one) != name}
    assert astray == {}, f"the map of {NGINX.name} leads these elsewhere"


def test_what_no_service_has_is_not_passed_on() -> None:
    assert [path for path in ("/", "/metrics", "/readyz", "/v1", "/v1/casesx", "/docs") if led_to(path)] == []


@pytest.mark.parametrize("port", [8000, 8004])
def test_an_answer_may_take_as_long_as_the_command_that_asks_waits_for_it(port: int) -> None:
    (server,) = [one for one in NGINX.read_text().split("server {") if f"listen {port};" in one]
    assert f"proxy_read_timeout {RECOMPUTE_SECONDS:.0f}s" in server
