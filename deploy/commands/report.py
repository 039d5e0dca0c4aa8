"""`cqm report`: departments, owners and defects as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deploy.commands.addresses import find
from deploy.commands.api import Parameters, opened
from deploy.commands.kpi import bar, value_text
from deploy.commands.terminal import AsJson, DataDir, line, out, plain, run, table, write_json

Lang = Annotated[Literal["en", "zh"], typer.Option(help="Language of the headings.")]
From = Annotated[str | None, typer.Option("--from", help="RFC 3339, or a date.")]
To = Annotated[str | None, typer.Option(help="RFC 3339, or a date; exclusive.")]
Zone = Annotated[str | None, typer.Option(help="IANA time zone of dates.")]
Where = Annotated[list[str] | None, typer.Option("--filter", help="DIMENSION:VALUE, repeatable")]
_WORDS = {
    "en": {"department": "department", "owner": "owner", "all": "all", "cumulative": "cumulative",
           "share": "share", "category": "category", "product_model": "product model",
           "product_batch": "batch", "supplier": "supplier"},
    "zh": {"department": "部门", "owner": "负责人", "all": "合计", "cumulative": "累计", "share": "占比",
           "category": "类别", "product_model": "产品型号", "product_batch": "批次", "supplier": "供应商"},
}  # fmt: skip
NOT_GIVEN = "-"
WIDE = 7
"""Columns of figures beside each other."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Reports.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="report")

    def efficiency(by: str, said: str) -> None:
        @group.command(f"{by}s", help=said)
        def command(
            from_: From = None,
            to: To = None,
            zone: Zone = None,
            where: Where = None,
            clock: Annotated[str | None, typer.Option(help="business or wall, of times")] = None,
            lang: Lang = "en",
            data_dir: DataDir = None,
            as_json: AsJson = False,
        ) -> None:
            asked = {"from": from_, "to": to, "zone": zone, "filter": where, "clock": clock}
            report = run(_ask(f"{by}s", asked, data_dir))
            write_json(report) if as_json else show_efficiency(report, lang)

    efficiency("department", "What each department had to do, did, and how well.")
    efficiency("owner", "The same for each owner.")

    @group.command()
    def defects(
        by: Annotated[
            str | None, typer.Option(help="category, product_model, product_batch or supplier")
        ] = None,
        from_: From = None,
        to: To = None,
        zone: Zone = None,
        where: Where = None,
        lang: Lang = "en",
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        """What defects are about, the most frequent first, with cumulative shares."""
        asked = {"by": by, "from": from_, "to": to, "zone": zone, "filter": where}
        report = run(_ask("defects", asked, data_dir))
        write_json(report) if as_json else show_pareto(report, lang)


async def _ask(name: str, asked: dict[str, Any], data_dir: Path | None) -> Any:
    """The first page of the report, with the items of all pages."""
    parameters: Parameters = {key: value for key, value in asked.items() if value}
    async with opened(find(data_dir)) as api:
        report = await api.get("analytics", f"/v1/reports/{name}", parameters)
        cursor = report["next"]
        while cursor is not None:
            page = await api.get("analytics", f"/v1/reports/{name}", {**parameters, "cursor": cursor})
            report["items"] += page["items"]
            cursor = page["next"]
    return report | {"next": None}


def show_efficiency(report: Any, lang: str) -> None:
    """A row for each key, those who had most to do first, and one for all; as tables of a screen's width."""
    by, columns = report["by"], report["columns"]
    rows = sorted(report["items"], key=lambda one: (-one["figures"]["opened"]["n"], *one["key"].values()))
    named = [(plain(one["key"][by] or NOT_GIVEN), one["figures"]) for one in rows]
    named.append((_WORDS[lang]["all"], report["total"]))
    for some in (columns[begin : begin + WIDE] for begin in range(0, len(columns), WIDE)):
        titles = [column["title"][lang].replace(" ", "\n") for column in some]
        shown = table(_WORDS[lang][by], *titles, right=tuple(titles))
        for name, figures in named:
            cells = [value_text(figures[column["name"]]["value"], column["unit"]) for column in some]
            shown.add_row(name, *cells)
        out.print(shown)


def show_pareto(report: Any, lang: str) -> None:
    """A row for each value, with its share, the share of all down to it, and a bar."""
    words = _WORDS[lang]
    line(f"{report['kpi']}: {report['total']['n']:,}", "bold")
    right = ("n", words["share"], words["cumulative"])
    shown = table(words[report["by"]], *right, "", right=right)
    largest = max((one["n"] for one in report["items"]), default=0)
    for one in report["items"]:
        shown.add_row(
            plain(one["key"][report["by"]] or NOT_GIVEN),
            f"{one['n']:,}",
            value_text(one["share"], "ratio"),
            value_text(one["cumulative_share"], "ratio"),
            bar(one["n"], largest),
        )
    out.print(shown)
