"""`cqm verify`: whether what is kept is what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from deploy.commands.addresses import find
from deploy.commands.api import Api, opened
from deploy.commands.terminal import (
    FINDING,
    OK,
    AsJson,
    DataDir,
    Failure,
    end,
    line,
    out,
    plain,
    run,
    table,
    write_json,
)

SHOWN_FLAWS = 50
PAGE = 1000
RECOMPUTE = "/v1/recompute-check/all"
RECOMPUTE_SECONDS = 3600.0
"""What a log of many millions of events takes."""
SHOWN_POINTS = 3
"""Of a KPI that differs."""
_OF_VERSIONS = frozenset({"removed", "added"})
"""The faults that leave the versions of a case with a gap, or beyond its end."""


def register(app: typer.Typer) -> None:
    @app.command()
    def verify(
        audit: Annotated[
            bool, typer.Option("--audit", help="Hash chains of all cases, and anchors.")
        ] = False,
        cases: Annotated[bool, typer.Option("--cases", help="Versions of all cases without gaps.")] = False,
        kpis: Annotated[
            bool,
            typer.Option(
                "--kpis", help="Every KPI recomputed from the facts and from Kafka's log: difference 0."
            ),
        ] = False,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Read every history and figure again; without an option, everything. Exit code 1 when something is
        wrong."""
        everything = not (audit or cases or kpis)
        found: dict[str, Any] = {}
        if everything or audit or cases:
            found = run(_verify(data_dir, anchors=audit or everything))
            if cases and not audit:
                found |= _of_versions(found.pop("flaws"))
        if everything or kpis:
            found["kpis"] = run(_verify_kpis(data_dir))
        write_json(found) if as_json else _show(found)
        end(OK if _holds(found) else FINDING)


def _holds(found: dict[str, Any]) -> bool:
    anchors = all(anchor["holds"] for anchor in found.get("anchors", []))
    flaws = found.get("flaws") or found.get("other_flaws")
    return anchors and not flaws and all(one["equal"] for one in found.get("kpis", ()))


def _of_versions(flaws: list[dict[str, Any]]) -> dict[str, Any]:
    """The flaws that `--cases` asks for, and how many there are besides: what was seen is told."""
    others = Counter(flaw["fault"] for flaw in flaws if flaw["fault"] not in _OF_VERSIONS)
    return {"flaws": [flaw for flaw in flaws if flaw["fault"] in _OF_VERSIONS], "other_flaws": dict(others)}


async def _verify_kpis(data_dir: Any) -> Any:
    async with opened(find(data_dir)) as api:
        facts = await api.post("analytics", RECOMPUTE, {"from": "facts"}, RECOMPUTE_SECONDS)
        try:
            log = await api.post("analytics", RECOMPUTE, {"from": "log"}, RECOMPUTE_SECONDS)
        except Failure as failure:  # what the facts say is told all the same
            log = {"source": "log", "equal": False, "items": [], "refused": failure.message}
        return [facts, log]


async def _verify(data_dir: Any, *, anchors: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"cases": 0, "entries": 0, "anchors": [], "flaws": []}
    async with opened(find(data_dir)) as api:
        pages = await _pages(api, "/v1/audit")
        found["cases"] = sum(page["cases"] for page in pages)
        found["entries"] = sum(page["entries"] for page in pages)
        found["flaws"] = [flaw for page in pages for flaw in page["flaws"]]
        if anchors:
            found["anchors"] = (await api.get("routing", "/v1/audit/anchors"))["items"]
        for anchor in found["anchors"]:
            for page in await _pages(api, f"/v1/audit/anchors/{anchor['day']}"):
                found["flaws"] += [{**flaw, "anchor": anchor["day"]} for flaw in page["flaws"]]
    return found


async def _pages(api: Api, path: str) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = []
    after: dict[str, Any] = {}
    while True:
        page = await api.get("routing", path, {"limit": PAGE, **after})
        pages.append(page)
        if page["next"] is None:
            return pages
        after = {"after": page["next"]}


def _show(found: dict[str, Any]) -> None:
    if "flaws" in found:
        _show_histories(found)
    if "kpis" in found:
        _show_kpis(found["kpis"])


def _show_kpis(found: list[dict[str, Any]]) -> None:
    for verdict in found:
        if "refused" in verdict:
            line(f"nothing was recomputed from the log: {verdict['refused']}", "red")
            continue
        checks = verdict["items"]
        kpis, sums = len({check["kpi"] for check in checks}), verdict["rollups"]
        line(f"{kpis} KPIs and {sums['checked']:,} sums recomputed from the {verdict['source']}", "bold")
        if verdict["equal"]:
            says = f"what the {verdict['source']} say{_ending(verdict)}"
            line(f"every figure, and every sum that is kept, is {says}: difference 0", "green")
            continue
        shown = table("KPI", "by", "difference", "points", "at", right=("difference", "points"))
        for check in checks:
            if not check["equal"]:
                shown.add_row(
                    check["kpi"], ", ".join(check["by"]), f"{check['difference']:,}",
                    f"{len(check['differing']):,}", _points(check["differing"]),
                )  # fmt: skip
        if shown.row_count:
            out.print(shown)
        if not sums["equal"]:
            _show_sums(sums)


def _show_sums(found: dict[str, Any]) -> None:
    """The sums that are not what they have to be, by their numbers."""
    line(f"{found['wrong']:,} of {found['checked']:,} sums of a day or a week are wrong", "red")
    shown = table(
        "tally", "of", "kept by", "from", "number", "kept", "recomputed", right=("kept", "recomputed")
    )
    for one in found["differing"][:SHOWN_FLAWS]:
        of, by = plain(_key(one["key"])), one["form"].replace("_", " ")
        numbers = f"{one['kept']:,}", f"{one['recomputed']:,}"
        shown.add_row(one["tally"], of, by, one["start"], one["counter"], *numbers)
    out.print(shown)


def _key(key: dict[str, str]) -> str:
    return ", ".join(f"{name}={value or '-'}" for name, value in key.items()) or "all"


def _ending(verdict: dict[str, Any]) -> str:
    return "" if verdict["source"] == "facts" else "s"


def _points(differing: list[dict[str, Any]]) -> str:
    """The keys at which a figure differs, with what is served and what was recomputed."""
    told = []
    for one in differing[:SHOWN_POINTS]:
        key = _key(one["key"])
        values = [str(point["value"]) if (point := one[side]) else "-" for side in ("served", "recomputed")]
        told.append(plain(f"{key}: {values[0]} served, {values[1]} recomputed"))
    more = len(differing) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _show_histories(found: dict[str, Any]) -> None:
    flaws, others = found["flaws"], found.get("other_flaws")
    anchors = f", {len(found['anchors'])} anchors" if others is None else ""
    line(f"{found['entries']:,} entries of {found['cases']:,} cases{anchors}", "bold")
    broken = [anchor["day"] for anchor in found["anchors"] if not anchor["holds"]]
    for day in broken:
        line(f"the anchor of {day} is not what was anchored", "red")
    if flaws:
        _show_flaws(flaws)
    elif others is None and not broken:
        line("every entry is what was written, and none is missing", "green")
    elif others is not None:
        line("no version is missing or too many; whether entries are what was written, --audit says", "green")
    if others:
        line(f"{_counted(others)} besides: `cqm verify --audit` names them", "red")


def _show_flaws(flaws: list[dict[str, Any]]) -> None:
    shown = table("case", "version", "fault", "what is wrong", right=("version",))
    for flaw in flaws[:SHOWN_FLAWS]:
        seen = f" (anchor of {flaw['anchor']})" if "anchor" in flaw else ""
        shown.add_row(flaw["case_id"], str(flaw["version"]), flaw["fault"], plain(flaw["detail"]) + seen)
    out.print(shown)
    line(_counted(Counter(flaw["fault"] for flaw in flaws)), "red")


def _counted(faults: Mapping[str, int]) -> str:
    most = sorted(faults.items(), key=lambda one: -one[1])
    return f"{sum(faults.values()):,} flaws: " + ", ".join(f"{n:,} {fault}" for fault, n in most)
