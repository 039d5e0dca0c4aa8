"""What commands say where a proxy, a login page or another program answers in the place of a service."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deploy.commands.addresses import Addresses
from deploy.commands.api import Api
from deploy.commands.import_client import ImportClient, Source
from deploy.commands.status import coming_dues, statuses
from deploy.commands.terminal import FINDING, Failure

ADDRESSES = Addresses("x", dict.fromkeys(("intake", "sla", "analytics"), ("http://a",)), Path())
PAGE = httpx.Response(200, html="<html><body>Please log in</body></html>")
ELSEWHERE = httpx.Response(302, headers={"location": "https://login.example.org/"})


def answering(answer: httpx.Response) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))


@pytest.mark.parametrize(
    ("answer", "said"), [(PAGE, "answered 200 with text/html"), (ELSEWHERE, "answered 302 with nothing")]
)
async def test_what_no_service_says_is_one_sentence_and_no_file(
    answer: httpx.Response, said: str, tmp_path: Path
) -> None:
    file, table = tmp_path / "kpi.csv", tmp_path / "rows.csv"
    table.write_text("a,b\n1,2\n")
    async with answering(answer) as client:
        api = Api(ADDRESSES, client)
        importing = ImportClient(client, "http://a", lambda _: None)
        for asked in (
            api.get("analytics", "/v1/kpis"),
            api.post("analytics", "/v1/recompute-check/all", {}),
            api.download("analytics", "/v1/kpis/backlog", {}, file),
            importing.upload(Source(table, "nyc311"), lambda _: None),
        ):
            with pytest.raises(Failure, match=said) as failed:
                await asked
            assert failed.value.code == FINDING
    assert not file.exists()


@pytest.mark.parametrize("answer", [PAGE, ELSEWHERE, httpx.Response(200, json={})])
async def test_what_no_service_says_is_not_ready_and_tells_no_dues(answer: httpx.Response) -> None:
    async with answering(answer) as client:
        found = await statuses(ADDRESSES, client)
        assert not any(service.ready for service in found.values())
        assert all(replica.missing for service in found.values() for replica in service.replicas)
        assert await coming_dues(ADDRESSES, client) is None
