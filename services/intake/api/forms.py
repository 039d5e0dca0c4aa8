"""GET and POST /forms/{form}: pages that become feedback, without JavaScript, cookies or state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import structlog
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from services.intake.api import metrics
from services.intake.api.door import NO_SOURCE, Door, Visit
from services.intake.api.form_entry import (
    MAX_BODY,
    SHOWN,
    URLENCODED,
    address_of,
    by_a_program,
    fresh_token,
    read_fields,
    renewed_token,
    same_origin,
    token_of,
)
from services.intake.api.form_pages import Pages
from services.intake.api.form_questions import Filled
from services.intake.api.form_words import Lang, choose_language, say
from services.intake.api.signals import FEEDBACK, Receiver
from services.intake.domain.answers import read_answers
from services.intake.domain.form_feedback import feedback_of, fixed_answers
from services.intake.domain.inputs import Refused
from services.intake.domain.signals import Sender
from shared import ids
from shared.errors import TransientError
from shared.forms import Form, FormSet, Link, PageToken, Receipt, Signer
from shared.http_body import BodyLimits, media_type, read_body
from shared.problem import Problem
from shared.rate_limit import RateLimiter

log = structlog.get_logger("cqm.forms")

DOOR = "forms"
Typed = Mapping[str, Sequence[str]]
_OF_A_LINK = ("link", "customer", "order", "touchpoint")
"""Parameters of which only a signed link's count."""


class _Returned(Problem):
    """The page goes back to the person, with all that was typed and what to do."""

    def __init__(self, page: Filled, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, "The form goes back.", headers=headers)
        self.page = page


class _Unconfirmed(TransientError):
    """Kafka did not say that it has them; `page` can be sent again as it stands, and counts once."""

    def __init__(self, page: Filled, why: TransientError) -> None:
        super().__init__(str(why))
        self.page = page


@dataclass(frozen=True)
class Forms:
    """All that pages of forms need. `forms`: those in force now; `limiter` counts posts by address;
    `public_url`: how the world names us, "" for as each request does."""

    door: Door
    forms: Callable[[], FormSet]
    signer: Signer
    limiter: RateLimiter
    public_url: str
    pages: Pages

    def known(self, name: str) -> Form:
        """Raises Problem 404 for a form that is not there, 503 for one whose file is wrong."""
        forms = self.forms()
        if name in forms.refused:
            raise Problem(503, "The form is out of order; `cqm form check` says why.", refused=True)
        if name not in forms.forms:
            raise Problem(404, "There is no such form.")
        return forms.forms[name]

    def show(self, request: Request, name: str) -> Response:
        """The empty form, with what a signed link gives."""
        lang, query, now = language(request), request.query_params, self.door.clock.now()
        try:
            form = self.known(name)
        except Problem as problem:
            return self._sorry(None, lang, problem)
        link = self._link(form, query.get("link", ""), now)
        ignored = link is None and any(name in query for name in _OF_A_LINK)
        page = self._page(form, lang, fresh_token(form, now.timestamp(), link), now, {})
        page = replace(
            page,
            answers=page.answers._replace(wrong=(), unseen=()),
            notice=say("bad_link", lang) if ignored else "",
            switch=_switch(lang, {"link": query["link"]} if link else {}),
        )
        return self.pages.form(page)

    async def take(self, request: Request, name: str) -> Response:
        """303 to the thanks once Kafka has it; else the page again, with all that was typed."""
        lang, form = language(request), None
        try:
            form = self.known(name)
            with self.door.visit(DOOR, request) as visit:
                same_origin(request, self.public_url)
                media_type(request, (URLENCODED,))
                limits = BodyLimits((URLENCODED,), MAX_BODY, self.door.body_seconds)
                typed = read_fields(await read_body(request, limits, visit.hold))
                reference = await self._taken(request, visit, form, lang, typed)
        except _Returned as returned:
            return self.pages.form(returned.page, returned.status, returned.headers)
        except _Unconfirmed as error:
            log.warning("unavailable", why=str(error), form=name)
            page = replace(error.page, alert=say("away", lang))
            return self.pages.form(page, 503, {"Retry-After": "2"})
        except Problem as problem:
            return self._sorry(form, lang, problem)
        query = urlencode({"r": self.signer.sign(Receipt(name, reference)), "lang": lang})
        return RedirectResponse(f"{name}/thanks?{query}", 303, {"Cache-Control": "no-store"})

    def thanks(self, request: Request, name: str) -> Response:
        """The page of thanks, which can be loaded again: its reference is signed and nothing is sent."""
        lang, token = language(request), request.query_params.get("r", "")
        receipt = self.signer.read(token, Receipt)
        try:
            form = self.known(name)
            if receipt is None or receipt.form != name:
                raise Problem(404, "There is no such page.")
        except Problem as problem:
            return self._sorry(None, lang, problem)
        return self.pages.thanks(form, lang, receipt.reference, _switch(lang, {"r": token}))

    async def _taken(self, request: Request, visit: Visit, form: Form, lang: Lang, typed: Typed) -> str:
        """The reference to tell. Raises _Returned or _Unconfirmed."""
        now, token = self.door.clock.now(), token_of(typed, form, self.signer)
        if by_a_program(typed, token, now.timestamp()):
            metrics.REJECTED.labels(DOOR, NO_SOURCE, metrics.TRAPPED).inc()
            return ids.reference(ids.fresh_id())
        expired = token is None or now.timestamp() > token.not_after
        if token is None or expired:
            token = renewed_token(form, now.timestamp(), token)
        page = self._page(form, lang, token, now, typed)
        take = self.limiter.take(address_of(request), 1, self.door.clock.monotonic())
        if not take.granted:
            wait = {"Retry-After": str(max(1, ceil(take.wait)))}
            raise _Returned(replace(page, alert=say("busy", lang)), 429, wait)
        if expired:
            raise _Returned(replace(page, alert=say("expired", lang)), 422)
        if page.answers.wrong or page.answers.unseen:
            raise _Returned(page, 422)
        return await self._published(request, visit, page, token, now)

    async def _published(
        self, request: Request, visit: Visit, page: Filled, token: PageToken, now: datetime
    ) -> str:
        form = page.form
        key = self.signer.hash_key
        bodies = feedback_of(form, page.answers.values, token.nonce, token.link, page.lang, key)
        receiver = Receiver(
            FEEDBACK, Sender(f"form:{form.name}"), now, self.door.seals, request.state.traceparent
        )
        try:
            received = [receiver.take(body) for body in bodies]
            await visit.publish(*(one.record for one in received))
        except Refused as refused:
            log.error("form_does_not_fit", form=form.name, why=str(refused))
            raise _Returned(replace(page, alert=say("status.422", page.lang)), 422) from refused
        except TransientError as error:
            raise _Unconfirmed(page, error) from error
        visit.accepted(FEEDBACK.name, len(received))
        return ids.reference(received[0].id)

    def _page(self, form: Form, lang: Lang, token: PageToken, now: datetime, typed: Typed) -> Filled:
        fixed = fixed_answers(form, token.link)
        today = now.astimezone(ZoneInfo(form.spec.time_zone)).date()
        return Filled(
            form=form,
            lang=lang,
            token=self.signer.sign(token),
            today=today,
            answers=read_answers(form, typed, today, typed.get(SHOWN, ()), fixed),
            typed=typed,
            fixed=fixed,
            order=token.link.order if token.link else "",
        )

    def _link(self, form: Form, token: str, now: datetime) -> Link | None:
        link = self.signer.link(token, now.timestamp())
        return link if link and link.form == form.name else None

    def _sorry(self, form: Form | None, lang: Lang, problem: Problem) -> Response:
        word = "status.refused" if "refused" in problem.extra else f"status.{problem.status}"
        return self.pages.sorry(form, lang, say(word, lang), problem.status, problem.headers)


def language(request: Request) -> Lang:
    """By ?lang=, else by what the browser accepts."""
    return choose_language(request.query_params.get("lang"), request.headers.get("accept-language", ""))


def _switch(lang: Lang, query: Mapping[str, str]) -> str:
    """The same page in the other language."""
    return "?" + urlencode({"lang": "en" if lang == "zh" else "zh", **query})
