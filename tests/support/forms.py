"""A browser without a screen: reads the HTML of a page of ours, and posts what a person would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.intake.api import Budget, Door, Forms, Outlet, Pages, form_routes
from shared.clock import FixedClock
from shared.codec import Outgoing, decode
from shared.forms import Form, FormSet, Signer, load_forms
from shared.rate_limit import RateLimiter
from shared.service import Service, create_app
from shared.settings import Settings
from tests.support.intake import Shelf
from tests.support.seals import SEALS

SHIPPED = Path(__file__).parents[2] / "deploy" / "forms"
SECRET = "a secret of these tests"
_VOID = {"meta", "link", "input", "path"}


@dataclass
class Page(HTMLParser):
    """`controls`: what a post would send, by name; `tags`: every element, in order."""

    html: str
    tags: list[str] = field(default_factory=list)
    text: str = ""
    controls: dict[str, list[str]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    attributes: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._off: list[bool] = []
        self._textarea = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes.append((tag, said))
        self.ids |= {said["id"]} if "id" in said else set()
        if tag == "a":
            self.links.append(said["href"])
        if tag == "fieldset":
            self._off.append("disabled" in said)
        if tag == "textarea" and not any(self._off):
            self._textarea = said["name"]
            self.controls[self._textarea] = [""]
        if tag == "input" and not any(self._off):
            kind = said.get("type", "text")
            if kind not in ("radio", "checkbox") or "checked" in said:
                self.controls.setdefault(said["name"], []).append(said.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "fieldset":
            self._off.pop()
        if tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._textarea:
            # a parser of HTML leaves out the first line break of a textarea
            self.controls[self._textarea] = [data.removeprefix("\n")]

    def labelled(self) -> Iterator[str]:
        """Ids that labels and descriptions point to."""
        for tag, said in self.attributes:
            if tag == "label" and "for" in said:
                yield said["for"]
            yield from said.get("aria-describedby", "").split()


@dataclass
class Desk:
    """Forms behind HTTP, with a shelf in place of Kafka and a clock that stands still."""

    http: httpx.AsyncClient
    shelf: Shelf
    clock: FixedClock
    signer: Signer

    async def open(self, form: str, **query: str) -> Page:
        """The empty page, read for long enough to be a person."""
        answer = await self.http.get(f"/forms/{form}", params=query)
        assert answer.status_code == 200, answer.text
        self.clock.advance(30)
        return Page(answer.text)

    async def post(self, form: str, data: Any, **headers: str) -> httpx.Response:
        own = {"accept-language": "en", "sec-fetch-site": "same-origin"}
        return await self.http.post(f"/forms/{form}", data=data, headers={**own, **headers})

    @property
    def said(self) -> list[list[dict[str, Any]]]:
        """What went to Kafka, publication by publication, as who may read it reads it."""
        return [[_read(record) for record in group] for group in self.shelf.groups]


def _read(record: Outgoing) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(record.value)
    if "sealed" in said:
        event, _ = decode(record.value, record.headers)
        said = msgspec.json.decode(msgspec.json.encode(SEALS.opened(event)))
    return said


def forms_in(folder: Path | None = None, **texts: str) -> FormSet:
    """Forms of the folder given, else the shipped ones, else the YAML texts by name written to it."""
    for name, text in texts.items():
        assert folder is not None
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_forms(folder or SHIPPED)


def form_of(folder: Path, text: str, name: str = "mine") -> Form:
    """The form that the YAML text says; it has to be well."""
    found = forms_in(folder, **{name: text})
    assert not found.refused, found.refused
    return found.forms[name]


@asynccontextmanager
async def desk(
    clock: FixedClock, forms: FormSet | None = None, *, posts: int = 1000, public_url: str = ""
) -> Any:
    """A Desk for the length of a block."""
    shelf, signer = Shelf(), Signer(SECRET)
    service = Service.build("intake", Settings(log="text"), clock, consumes=False)
    outlet = Outlet(shelf, 1.5)  # type: ignore[arg-type]
    door = Door(outlet, Budget(1 << 26), clock, service.access, SEALS, 10)
    limiter = RateLimiter(posts / 60, posts, 1000)
    in_force = forms or forms_in()
    routes = form_routes(Forms(door, lambda: in_force, signer, limiter, public_url, Pages()))
    transport = httpx.ASGITransport(create_app(service, [routes]))
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as http:
        yield Desk(http, shelf, clock, signer)
