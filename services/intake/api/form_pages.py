"""The pages of forms: server-rendered, escaped, in zh and en, working without JavaScript.

No page loads anything from elsewhere, and none may be shown in a frame but where its form allows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.intake.api.form_questions import Filled, question_of
from services.intake.api.form_words import TAGS, Lang, say
from services.intake.domain.answers import Wrong
from shared.forms import HONEYPOT, Form

TEMPLATES = Path(__file__).parent.parent / "templates"
ASSETS = {"form.css": "text/css", "form.js": "text/javascript", "icon.svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors "
)


class Line(NamedTuple):
    """A line of the error summary, and the id of what it leads to."""

    text: str
    at: str


class Pages:
    """Templates and assets, read once."""

    def __init__(self, folder: Path = TEMPLATES) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.assets = {name: (folder / name).read_bytes() for name in ASSETS}
        self.version = {name: hashlib.sha256(body).hexdigest()[:10] for name, body in self.assets.items()}

    def form(self, filled: Filled, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """The form, with what was typed and what is wrong with it."""
        spec, lang, answers = filled.form.spec, filled.lang, filled.answers
        missing = [Line(spec.fields[name].label.in_language(lang), f"f-{name}") for name in answers.unseen]
        wrong = [
            Line(_sentence(one, lang, filled.form), f"f-{one.field}" if one.field else "")
            for one in answers.wrong
        ]
        values = {
            "title": spec.title.in_language(lang),
            "intro": spec.intro.in_language(lang) if spec.intro else "",
            "send": spec.send.in_language(lang) if spec.send else say("send", lang),
            "order": filled.order,
            "alert": filled.alert,
            "notice": filled.notice,
            "heading": say("summary" if wrong else "more", lang),
            "summary": wrong + missing,
            "questions": [question_of(name, filled) for name in spec.fields if name not in filled.fixed],
            "token": filled.token,
            "honeypot": HONEYPOT,
            "root": "",
            "switch": filled.switch,
        }
        return self._page("form.html", filled.form, lang, values, status, headers)

    def thanks(self, form: Form, lang: Lang, reference: str, switch: str) -> Response:
        values = {
            "title": form.spec.title.in_language(lang),
            "thanks": form.spec.thanks.in_language(lang),
            "reference": reference,
            "name": form.name,
            "root": "../",
            "switch": switch,
        }
        return self._page("thanks.html", form, lang, values)

    def sorry(
        self, form: Form | None, lang: Lang, what: str, status: int, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A sentence in place of a form. Nothing of the request is repeated."""
        values = {"what": what, "back": f"?lang={lang}" if form else "", "root": "", "switch": ""}
        return self._page("sorry.html", form, lang, values, status, headers)

    def embed_script(self, form: Form) -> str:
        titles = {lang: form.spec.title.in_language(lang) for lang in TAGS}
        return self._templates.get_template("embed.js").render(titles=titles)

    def _page(
        self,
        template: str,
        form: Form | None,
        lang: Lang,
        values: dict[str, Any],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        other: Lang = "en" if lang == "zh" else "zh"
        html = self._templates.get_template(template).render(
            lang=lang,
            tag=TAGS[lang],
            other_tag=TAGS[other],
            version=self.version,
            say=partial(_say, lang),
            **values,
        )
        own = {"Content-Language": TAGS[lang], "Vary": "Accept-Language", **_guards(form), **(headers or {})}
        return Response(html, status, headers=own, media_type="text/html; charset=utf-8")


def _say(lang: Lang, word: str) -> str:
    return say(word, lang)


def _guards(form: Form | None) -> dict[str, str]:
    """What a browser may do with the page. No stricter than `same-origin`, else Origin would be null."""
    ancestors = " ".join(form.spec.embed) if form and form.spec.embed else "'none'"
    guards = {
        "Content-Security-Policy": _POLICY + ancestors,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return guards if ancestors != "'none'" else {**guards, "X-Frame-Options": "DENY"}


def _sentence(wrong: Wrong, lang: Lang, form: Form) -> str:
    said = say(f"wrong.{wrong.code}", lang, wrong.limit)
    if not wrong.field:
        return said
    label = form.spec.fields[wrong.field].label.in_language(lang)
    return f"{label} {said}" if label[-1] in "?？。." else f"{label}: {said}"
