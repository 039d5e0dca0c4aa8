"""`cqm form`: forms checked before they are in force, signed links that fill them in, QR codes."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import msgspec
import typer

from deploy.commands.addresses import find
from deploy.commands.terminal import FINDING, OK, USAGE, AsJson, DataDir, Failure, end, line, write_json
from deploy.local.folder import DataFolder, default_data_dir

if TYPE_CHECKING:
    from shared.forms import FormSet

SHIPPED = Path(__file__).parent.parent / "forms"
LONGEST = 200
SHORTEST_DAYS, MOST_DAYS = 0.001, 3650

FormName = Annotated[str, typer.Argument(help="The form's name: its file's, without .yaml.")]
Customer = Annotated[str, typer.Option(help="The customer's id.")]
Order = Annotated[str, typer.Option(help="The order's number.")]
Touchpoint = Annotated[str, typer.Option(help="purchase, delivery, onboarding, use, support or renewal.")]
Days = Annotated[float | None, typer.Option(help="The link ends after so many days, 3650 at most.")]
Folder = Annotated[Path | None, typer.Option("--forms", help="Folder of the forms (default: CQM_FORMS).")]
Lang = Annotated[str, typer.Option(help="zh or en; without it the browser's language.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Forms for customers.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="form")

    @group.command()
    def check(
        files: Annotated[list[Path], typer.Argument(help="Files and folders of forms.")],
        as_json: AsJson = False,
    ) -> None:
        """Lint forms: every finding with its file and line."""
        missing = [str(file) for file in files if not file.exists()]
        if missing:
            raise Failure(f"there is no {', '.join(missing)}", "", USAGE)
        _check(files, as_json)

    @group.command()
    def link(
        form: FormName,
        customer: Customer = "",
        order: Order = "",
        touchpoint: Touchpoint = "",
        days: Days = None,
        lang: Lang = "",
        forms: Folder = None,
        data_dir: DataDir = None,
    ) -> None:
        """Print a signed link: who opens it answers for this customer and order, and cannot alter them."""
        line(_link(form, _given(customer, order, touchpoint), days, lang, forms, data_dir))

    @group.command()
    def qr(
        form: FormName,
        customer: Customer = "",
        order: Order = "",
        touchpoint: Touchpoint = "",
        days: Days = None,
        lang: Lang = "",
        svg: Annotated[Path | None, typer.Option(help="Write the code to this file.")] = None,
        forms: Folder = None,
        data_dir: DataDir = None,
    ) -> None:
        """Show the form's address, or a signed link, as a QR code."""
        given = _given(customer, order, touchpoint)
        _draw(_link(form, given, days, lang, forms, data_dir), svg)


def _check(files: list[Path], as_json: bool) -> None:
    from shared.forms import load_forms

    found = load_forms(*files)
    findings = [finding for refused in found.refused.values() for finding in refused]
    if as_json:
        write_json([msgspec.to_builtins(finding) for finding in findings])
    else:
        for finding in findings:
            line(str(finding), "red")
        line(f"{len(found.forms)} forms well, {len(found.refused)} refused", "bold")
    end(FINDING if findings else OK)


def _given(customer: str, order: str, touchpoint: str) -> dict[str, str]:
    given = {"customer": customer.strip(), "order": order.strip(), "touchpoint": touchpoint}
    for name, value in given.items():
        if len(value) > LONGEST or not value.isprintable():
            raise Failure(f"--{name} is one line of at most {LONGEST} characters", "", USAGE)
    return {name: value for name, value in given.items() if value}


def _link(
    form: str, given: dict[str, str], days: float | None, lang: str, forms: Path | None, folder: Path | None
) -> str:
    """The form's address; signed where it says something of who opens it."""
    from shared.forms import load_forms

    _known(form, load_forms(forms or Path(os.environ.get("CQM_FORMS") or SHIPPED)))
    if lang not in ("", "zh", "en"):
        raise Failure("--lang is zh or en", "", USAGE)
    if days is not None and not SHORTEST_DAYS <= days <= MOST_DAYS:  # nor is `nan` anywhere between them
        raise Failure(f"--days is a number from {SHORTEST_DAYS} to {MOST_DAYS}", "", USAGE)
    if days is not None and not given:
        raise Failure(
            "--days needs --customer, --order or --touchpoint: a link that says nothing never ends", "", USAGE
        )
    query = {"lang": lang} if lang else {}
    if given:
        query["link"] = _signed(form, given, days, folder)
    base = os.environ.get("CQM_PUBLIC_URL") or find(folder).url("intake")
    return f"{base.rstrip('/')}/forms/{form}" + (f"?{urlencode(query)}" if query else "")


def _known(form: str, found: FormSet) -> None:
    if form in found.refused:
        raise Failure(f"the form {form} is refused", "`cqm form check` says why")
    if form not in found.forms:
        raise Failure(f"there is no form {form}; there are {', '.join(found.forms) or 'none'}", "", USAGE)


def _signed(form: str, given: dict[str, str], days: float | None, folder: Path | None) -> str:
    from shared.forms import Link, Signer

    until = int(time.time() + timedelta(days=days).total_seconds()) if days else 0
    try:
        link = msgspec.convert({"form": form, "until": until, **given}, Link)
    except msgspec.ValidationError:
        raise Failure("--touchpoint is none of those that a feedback knows", "see --help", USAGE) from None
    try:
        return Signer(_secret(folder)).sign(link)
    except ValueError as error:
        raise Failure(f"CQM_SECRET: {error}", "", USAGE) from None


def _secret(folder: Path | None) -> str:
    """CQM_SECRET, else the one that `cqm up` has made in its folder."""
    secret = os.environ.get("CQM_SECRET", "")
    if not secret:
        data = DataFolder(folder or default_data_dir())
        if not data.has_secret:
            raise Failure("there is no secret to sign with", "set CQM_SECRET as the services have it", USAGE)
        secret = data.secret()
    return secret


def _draw(address: str, svg: Path | None) -> None:
    import segno

    try:
        code = segno.make(address, error="m", micro=False)
    except segno.DataOverflowError:
        raise Failure("the link is too long for a QR code", "shorten what it says", USAGE) from None
    if svg is not None:
        try:
            code.save(str(svg), kind="svg", scale=8, light="#fff")
        except OSError as error:
            raise Failure(f"{svg} cannot be written: {error.strerror or error}") from error
        line(f"{svg}: {address}")
    else:
        code.terminal(compact=True)
        line(address)
