"""Figures and records as files: the same as in JSON, to the last digit, however many there are."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pandas as pd
import pytest

from deploy.commands.addresses import Addresses
from deploy.commands.api import Api, Parameters
from deploy.commands.terminal import Failure
from services.analytics.api import exports
from services.analytics.app import build
from services.analytics.domain.feedback import Known, take
from services.analytics.domain.tallies import FEEDBACK_FACTS
from services.analytics.store.documents import document
from shared.mongo import Mongo
from tests.support.analytics import NOON, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.figures import ask, compacted, dropping, send, settings_for, shows
from tests.support.own_process import MIB, forget_peak, own_process, resident
from tests.support.seals import SEALS
from tests.support.servers import Servers
from tests.unit.test_analytics_rollups import bin_of

TAG = f"t.{uuid4().hex[:8]}"
MAY = {"from": "2019-05-01", "to": "2019-06-01"}
FORMULAS = ("=1+1", "+SUM(A1)", "-2+3", "@x", "\tx", "＝x", '=HYPERLINK("http://example.org")', "破损, 压坏")


@pytest.fixture(scope="module")
async def analytics(servers: Servers) -> AsyncIterator[Running]:
    """With feedback of many categories, their cases, and promises."""
    async with dropping(servers) as prefix, running_app(build(settings_for(servers, prefix))) as running:
        told = [
            said((TAG, n), source=TAG, at=NOON + timedelta(hours=5 * n), category=FORMULAS[n % 8],
                 rating=rating("nps", n % 11, 0, 10))
            for n in range(60)
        ]  # fmt: skip
        cases = [case_changed((TAG, n), about=((TAG, n),), department=TAG) for n in range(20)]
        ends = [finished((TAG, n), business=7 * n, labels=labels(TAG)) for n in range(20)]
        await send(running, *told, *cases, *ends)
        await shows(running, "feedback_volume", 20, filter=f"department:{TAG}")
        await shows(running, "feedback_volume", 60, filter=f"source:{TAG}")
        await shows(running, "first_response_time", 20, filter=f"department:{TAG}")
        await compacted(running)
        yield running


async def frame_of(analytics: Running, path: str, form: str, **given: Any) -> pd.DataFrame:
    answer = await analytics.http.get(f"/v1/kpis/{path}", params=MAY | given | {"format": form})
    assert answer.status_code == 200, answer.text
    if form == "csv":
        return pd.read_csv(BytesIO(answer.content), keep_default_na=False, na_values={"value": [""]})
    return pd.read_parquet(BytesIO(answer.content))


def rows_of(figure: Any) -> list[tuple[Any, ...]]:
    return [
        (*one["key"].values(), point["start"], point["value"], point["n"], point["provisional"])
        for one in figure["series"]
        for point in one["points"]
    ]


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("nps", {"by": ["channel", "kind"], "grain": "day"}),
        ("feedback_volume", {"filter": f"source:{TAG}", "grain": "week", "zone": "Asia/Kolkata"}),
        ("first_response_time", {"by": "department", "stat": "p90"}),
        ("sla_attainment", {"by": "target", "filter": f"department:{TAG}"}),
        ("churn_rate", {"grain": "month"}),
    ],
)
async def test_a_figure_in_a_file_is_the_one_in_json(
    analytics: Running, name: str, given: Any, form: str
) -> None:
    figure = await ask(analytics, name, **MAY, **given)
    frame = await frame_of(analytics, name, form, **given)
    by = [given["by"]] if isinstance(given.get("by"), str) else given.get("by", [])
    assert list(frame.columns) == [*by, "start", "value", "n", "numerator", "denominator", "provisional"]
    frame["start"] = pd.to_datetime(frame["start"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame["value"] = frame["value"].astype(object).where(frame["value"].notna(), None)
    columns = [*by, "start", "value", "n", "provisional"]
    assert [tuple(row) for row in frame[columns].itertuples(index=False)] == rows_of(figure)


async def all_records(analytics: Running, name: str, **given: Any) -> list[Any]:
    found, after = [], dict[str, Any]()
    while True:
        page = await ask(analytics, f"{name}/records", **MAY, limit=7, **given, **after)
        found += page["items"]
        if page["next"] is None:
            return found
        after = {"cursor": page["next"]}


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("where", [f"source:{TAG}", f"department:{TAG}"], ids=["source", "department"])
async def test_records_in_a_file_are_those_of_all_pages(analytics: Running, where: str, form: str) -> None:
    records = await all_records(analytics, "nps", filter=where)
    frame = await frame_of(analytics, "nps/records", form, filter=where)
    assert frame["id"].tolist() == [one["id"] for one in records]
    assert frame["n"].sum() == (await ask(analytics, "nps", **MAY, filter=where))["total"]["n"]
    assert frame["numerator"].tolist() == [one["numerator"] for one in records]
    categories = [one["labels"]["category"] for one in records]
    if form == "parquet":
        assert frame["category"].tolist() == categories
    else:
        shown = [text if text.startswith("破") else f"'{text}" for text in categories]
        assert frame["category"].tolist() == shown, "a spreadsheet runs none of them"


async def test_the_accept_header_is_heard(analytics: Running) -> None:
    answer = await analytics.http.get("/v1/kpis/nps", params=MAY, headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines()[0].startswith("start,value")


@pytest.mark.parametrize(
    ("path", "given", "pointer"),
    [
        ("nps", {"format": "xlsx"}, "?format"),
        ("nps", {"format": "parquet", "bom": "true"}, "?bom"),
        ("nps", {"bom": "true"}, "?bom"),
        ("nps/records", {"format": "csv", "limit": "5"}, "?limit"),
        ("nps/records", {"format": "csv", "cursor": "x"}, "?cursor"),
        ("nps/records", {"format": "csv", "by": "nothing"}, "?by"),
    ],
)
async def test_what_a_file_does_not_have_is_refused(
    analytics: Running, path: str, given: Any, pointer: str
) -> None:
    answer = await analytics.http.get(f"/v1/kpis/{path}", params=given)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


# --- many --------------------------------------------------------------------------------------------

MANY, IN_ONE_SECOND = 30_000, 10_000
WITHOUT_PANDAS = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ImportError(name)
sys.meta_path.insert(0, Without())
"""
"""Only tests have it, and where it is, pyarrow loads it: 50 MiB that a service does not have."""


async def stored(database: Any, count: int) -> None:
    """Facts as batches leave them, a third of them in one second: where only the day is known."""
    for begin in range(0, count, 5000):
        events = [
            said(("many", n), source="many", at=NOON + timedelta(seconds=max(0, n - IN_ONE_SECOND)))
            for n in range(begin, begin + 5000)
        ]
        facts: list[Any] = take(events, Known({}, {}), bin_of).new[FEEDBACK_FACTS]
        await database[FEEDBACK_FACTS].insert_many([document(fact, SEALS) for fact in facts], ordered=False)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="the peak of a process is Linux's")
async def test_many_records_are_streamed_in_constant_memory_and_who_leaves_holds_up_nobody(
    servers: Servers, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PANDAS)
    async with dropping(servers) as prefix:
        mongo = Mongo(servers.mongo)
        environment = {"CQM_DATABASE_PREFIX": prefix, "PYTHONPATH": str(tmp_path)}
        async with own_process("analytics", servers, tmp_path / "data", **environment) as service:
            await stored(mongo.database(f"{prefix}_analytics"), MANY)
            pid, ids = service.child.pid, dict[str, list[str]]()
            assert pid is not None
            path, of_many = "/v1/kpis/feedback_volume/records", {"filter": "source:many", **MAY}
            async with httpx.AsyncClient(base_url=service.url, timeout=120, trust_env=False) as http:
                for _ in range(2 * exports.MOST_AT_A_TIME):
                    async with http.stream("GET", path, params=of_many | {"format": "csv"}) as left:
                        await anext(left.aiter_bytes())
                for form in ("csv", "parquet"):
                    forget_peak(pid)
                    answer = await http.get(path, params=of_many | {"format": form})
                    assert answer.status_code == 200, answer.text[:500]
                    peak = resident(pid, "VmHWM")
                    assert peak < 200 * MIB, f"{form}: {peak / MIB:.0f} MiB"
                    content = BytesIO(answer.content)
                    frame = pd.read_csv(content) if form == "csv" else pd.read_parquet(content)
                    ids[form] = frame["id"].tolist()
        mongo.close()
    assert len(set(ids["csv"])) == len(ids["csv"]) == MANY and ids["csv"] == ids["parquet"]


@pytest.mark.parametrize(
    ("path", "rows"), [("kpis/feedback_volume", 1), ("kpis/feedback_volume/records", 60)]
)
async def test_cqm_kpi_saves_the_file_that_the_service_gives(
    analytics: Running, tmp_path: Path, path: str, rows: int
) -> None:
    addresses, file = Addresses("x", {"analytics": ("http://cqm",)}, tmp_path), tmp_path / "it.csv"
    parameters: Parameters = MAY | {"filter": [f"source:{TAG}"], "format": "csv", "bom": "true"}
    await Api(addresses, analytics.http).download("analytics", f"/v1/{path}", parameters, file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbf") and len(pd.read_csv(file)) == rows
    with pytest.raises(Failure, match="analytics answered 422"):
        await Api(addresses, analytics.http).download("analytics", f"/v1/{path}", {"by": "nothing"}, file)
    assert len(pd.read_csv(file)) == rows, "what was there stays"
    assert os.listdir(tmp_path) == [file.name]
