"""The calls of the form engine, and what its pages load: stylesheet, script, QR code, embedding."""

from __future__ import annotations

import asyncio
import io
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import segno
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from services.intake.api.form_entry import URLENCODED
from services.intake.api.form_pages import ASSETS
from services.intake.api.form_words import LANGUAGES
from services.intake.api.forms import Forms, language
from shared.forms import Link
from shared.problem import Problem

_ANYWHERE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {URLENCODED: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}},
    }
}
_TEXT = {"type": "string"}


def form_routes(forms: Forms) -> APIRouter:
    router = APIRouter(tags=["forms"])

    @router.get("/forms/assets/{file}", include_in_schema=False)
    async def get_form_asset(file: str) -> Response:
        if file not in ASSETS:
            raise Problem(404, "There is no such file.")
        headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return Response(forms.pages.assets[file], headers=headers, media_type=ASSETS[file])

    @router.get("/forms/{form}", response_class=HTMLResponse, openapi_extra=_query("lang", "link"))
    async def get_form(request: Request, form: str) -> Response:
        """The form as a page, in zh or en."""
        return forms.show(request, form)

    @router.post("/forms/{form}", status_code=303, openapi_extra=_BODY | _query("lang"))
    async def post_form(request: Request, form: str) -> Response:
        """303 to the thanks once Kafka has it; else the page again: 422, 429, 503."""
        return await forms.take(request, form)

    @router.get("/forms/{form}/thanks", response_class=HTMLResponse, openapi_extra=_query("lang", "r"))
    async def get_form_thanks(request: Request, form: str) -> Response:
        """What the person is told, with the reference."""
        return forms.thanks(request, form)

    @router.get("/forms/{form}/qr.svg", openapi_extra=_query("lang", "link") | _says("image/svg+xml"))
    async def get_form_qr(request: Request, form: str) -> Response:
        """A QR code that opens the form."""
        return await _qr(forms, request, form)

    @router.get("/forms/{form}/embed.js", openapi_extra=_says("text/javascript"))
    async def get_form_embed(form: str) -> Response:
        """A script that puts the form into a frame of another site's page."""
        script = forms.pages.embed_script(forms.known(form))
        headers = {"Cache-Control": "public, max-age=300", **_ANYWHERE}
        return Response(script, headers=headers, media_type="text/javascript")

    return router


async def _qr(forms: Forms, request: Request, name: str) -> Response:
    """Of the form's address, with the signed link as it was given: whoever opens it is told if it is over.

    What is in no page of ours is left out: anybody may ask, and a code of a long address takes a while.
    """
    form, asked = forms.known(name), request.query_params
    query = {"lang": asked["lang"]} if asked.get("lang") in LANGUAGES else {}
    link = forms.signer.read(asked.get("link", ""), Link)
    if link is not None and link.form == name:
        query["link"] = asked["link"]
    base = (forms.public_url or str(request.base_url)).rstrip("/")
    address = f"{base}/forms/{quote(name)}" + (f"?{urlencode(query)}" if query else "")
    try:
        drawing = await asyncio.to_thread(_drawn, address, form.spec.title.in_language(language(request)))
    except segno.DataOverflowError:
        raise Problem(422, "The link is too long for a QR code.") from None
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'", **_ANYWHERE}
    return Response(drawing, headers=headers, media_type="image/svg+xml")


@lru_cache(maxsize=128)
def _drawn(address: str, title: str) -> bytes:
    """Raises DataOverflowError."""
    drawing = io.BytesIO()
    code = segno.make(address, error="m", micro=False)
    code.save(drawing, kind="svg", scale=8, light="#fff", title=title)
    return drawing.getvalue()


def _query(*names: str) -> dict[str, Any]:
    """Parameters that are read by hand: one that does not fit is left out, and never an error."""
    return {"parameters": [{"name": name, "in": "query", "schema": _TEXT} for name in names]}


def _says(media_type: str) -> dict[str, Any]:
    return {"responses": {"200": {"description": "OK", "content": {media_type: {"schema": _TEXT}}}}}
