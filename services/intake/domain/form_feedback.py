"""Answers to a form become the JSON of POST /v1/feedback, one feedback for each rating (docs/forms.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.forms import ConsentField, Form, Link, RatingField

PART = "form_part"
RESPONSE = "form_response"
_canonical = msgspec.json.Encoder(order="deterministic")


def fixed_answers(form: Form, link: Link | None) -> dict[str, str]:
    """What a signed link answers in place of the person, by the form's fields."""
    given = _given(link)
    return {name: given[target] for name, target in form.targets.items() if target in given}


def feedback_of(
    form: Form, answers: Mapping[str, str], nonce: str, link: Link | None, language: str, key: bytes
) -> list[bytes]:
    """The first holds the texts and the first rating, and its id is the one that the person is told.

    The identity is the page's nonce with a hash of what was said: the same answers sent again are the same
    feedback, and answers that were changed before are another one, and no conflict. It is not sealed, so the
    hash has a `key`: else a phone number could be tried until it fits. `language`: of the page, said only
    where there is no text to find it in.
    """
    common = _common(form, answers, link)
    placed = {form.targets[name]: value for name, value in answers.items()}
    words = {target: placed[target] for target in placed if target in ("text", "subject")}
    words = words or {"language": language}
    ratings = [(name, _rating(form, name, answers[name])) for name in answers if _is_rating(form, name)]
    said = hashlib.blake2b(_canonical.encode([common, words, ratings]), digest_size=6, key=key).hexdigest()
    identity = f"{nonce}-{said}"
    first: dict[str, Any] = {**common, **words, "external_id": identity}
    if ratings:
        first["rating"] = ratings[0][1]
    return [
        _encoded(first, {RESPONSE: identity} if ratings[1:] else {}),
        *(
            _encoded(
                {**common, "language": language, "external_id": f"{identity}-{name}", "rating": rating},
                {RESPONSE: identity, PART: name},
            )
            for name, rating in ratings[1:]
        ),
    ]


def _common(form: Form, answers: Mapping[str, str], link: Link | None) -> dict[str, Any]:
    """All that every feedback of one page says: constants, the link, and answers but texts and ratings."""
    constants = msgspec.to_builtins(dict(form.spec.constants))
    body: dict[str, Any] = {name: value for name, value in constants.items() if value}
    body["source"] = f"form:{form.name}"
    placed: dict[str, Any] = {}
    for name, value in answers.items():
        if form.targets[name] not in ("text", "subject", "rating"):
            ticked = isinstance(form.spec.fields[name], ConsentField)
            placed[form.targets[name]] = True if ticked else value
    for target, value in {**placed, **_given(link)}.items():
        group, dot, field = target.partition(".")
        if dot:
            body.setdefault(group, {})[field] = value
        else:
            body[target] = value
    return body


def _given(link: Link | None) -> dict[str, str]:
    if link is None:
        return {}
    given = {"customer.id": link.customer, "order_id": link.order, "touchpoint": link.touchpoint}
    return {target: value for target, value in given.items() if value}


def _is_rating(form: Form, name: str) -> bool:
    return isinstance(form.spec.fields[name], RatingField)


def _rating(form: Form, name: str, answer: str) -> dict[str, Any]:
    question = form.spec.fields[name]
    assert isinstance(question, RatingField)
    first, last = question.ends
    return {"metric": question.metric, "score": int(answer), "scale_min": first, "scale_max": last}


def _encoded(body: dict[str, Any], attributes: dict[str, str]) -> bytes:
    if attributes:
        body = {**body, "attributes": {**body.get("attributes", {}), **attributes}}
    return msgspec.json.encode(body)
