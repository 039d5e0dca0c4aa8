"""The vocabulary of a form's YAML file, checked when it is read (docs/forms.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator
from pydantic import Field as Limit

from shared.events import Channel, Kind, Severity, Touchpoint, Urgency
from shared.forms.fields import ChoiceField, Field, ProductField, RatingField, TextField, Words
from shared.policy.fields import WORDS
from shared.policy.models import CategoryName, Part

FieldName = Annotated[str, Limit(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
ANYWHERE = "*"
Origin = Annotated[str, Limit(pattern=r"^(\*|https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?)$")]
HONEYPOT = "website"
"""The name of the box that only programs fill in."""

ATTRIBUTE = "attributes."
_ATTRIBUTE_NAME = re.compile(r"(?!__)[A-Za-z0-9_-]{1,64}")
LIMITS = {
    "text": 20_000, "subject": 500, "order_id": 200, "supplier_id": 200, "category": 200,
    "customer.id": 200, "customer.name": 200, "customer.region": 200, "customer.tier": 200,
    "customer.phone": 64, "customer.email": 254,
    "product.sku": 200, "product.model": 200, "product.batch": 200,
    "touchpoint": 20, "severity": 20, "urgency": 20,
}  # fmt: skip
"""What a field may become, with the characters that a feedback takes there."""
_ATTRIBUTE_CHARACTERS, _MOST_ATTRIBUTES = 1000, 45
_BY_TYPE = {
    "email": "customer.email",
    "phone": "customer.phone",
    "order": "order_id",
    "product": "product.model",
    "rating": "rating",
}
_OF_WORDS = frozenset(WORDS) & LIMITS.keys()
"""Fields of a feedback that know few words: only choices lead there."""


def _any(sites: object) -> object:
    return [ANYWHERE] if sites == "any" else sites


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not in the IANA time zone database") from None
    return name


class Constants(Part):
    """What every answer to this form says of itself."""

    kind: Kind
    channel: Channel = "web"
    category: CategoryName | Literal[""] = ""
    touchpoint: Touchpoint = ""
    severity: Severity | Literal[""] = ""
    urgency: Urgency | Literal[""] = ""


class FormSpec(Part):
    """One file. `embed`: the sites that may show the form in a frame, by origin, or `any`."""

    title: Words
    intro: Words | None = None
    thanks: Words
    send: Words | None = None
    constants: Constants = Limit(alias="set")
    embed: Annotated[list[Origin], BeforeValidator(_any)] = Limit(default=[])
    minimum_seconds: Annotated[float, Limit(ge=0, le=60, strict=False)] = 2.0
    open_hours: Annotated[float, Limit(gt=0, le=24 * 14, strict=False)] = 24.0
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    fields: Annotated[dict[FieldName, Field], Limit(min_length=1, max_length=50)]

    def target(self, name: str) -> str:
        """The field of the feedback that the answer to `name` becomes: as said, else by its type."""
        field = self.fields[name]
        if field.to is not None:
            return field.to
        if isinstance(field, TextField) and field.lines == "many":
            return "text"
        return _BY_TYPE.get(field.type, f"{ATTRIBUTE}{name}")

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong beyond the shape, as (keys in the file, reason)."""
        targets: dict[str, str] = {}
        for name, field in self.fields.items():
            target, place = self.target(name), ("fields", name)
            if name in (HONEYPOT, "attributes"):
                yield place, f"the name {name} is taken"
            if target in targets and target != "rating":
                yield place, f"goes to {target}, as {targets[target]} does; say another place with `to`"
            targets[target] = name
            if reason := _misled(field, target):
                yield (*place, "to"), reason
            if getattr(self.constants, target, ""):
                yield (*place, "to"), f"{target} stands under set, too"
            yield from (((*place, *keys), reason) for keys, reason in _misfits(field, target))
        if not targets.keys() & {"text", "subject", "rating"}:
            yield ("fields",), "no field goes to text, subject or rating: there would be nothing to send"
        if sum(target.startswith(ATTRIBUTE) for target in targets) > _MOST_ATTRIBUTES:
            yield ("fields",), f"more than {_MOST_ATTRIBUTES} fields go to attributes"


def characters(target: str) -> int:
    """The most that a feedback takes at `target`."""
    return LIMITS.get(target, _ATTRIBUTE_CHARACTERS)


def _misled(field: Field, target: str) -> str:
    """Why an answer to `field` cannot go to `target`, or nothing."""
    if isinstance(field, RatingField) or target == "rating":
        return (
            "" if isinstance(field, RatingField) == (target == "rating") else "a rating goes to rating only"
        )
    name = target.removeprefix(ATTRIBUTE)
    if target.startswith(ATTRIBUTE):
        fits = name.replace("_", "").replace("-", "").isalnum() and name.isascii() and len(name) <= 64
        return (
            "" if fits and not name.startswith("__") else "an attribute has up to 64 letters, digits, _ or -"
        )
    if target not in LIMITS:
        return f"is none of {', '.join(sorted(LIMITS))}, attributes.NAME"
    if field.type in ("date", "consent"):
        return f"a {field.type} goes to attributes.NAME only"
    if target in _OF_WORDS and not isinstance(field, ChoiceField):
        return f"only a choice can go to {target}"
    if isinstance(field, ChoiceField) and field.multiple:
        return "a choice of several goes to attributes.NAME only"
    return ""


def _misfits(field: Field, target: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Limits and options that do not fit the place where the answer goes."""
    most = characters(target)
    if isinstance(field, TextField) and (field.max or 0) > most:
        yield ("max",), f"{target} has at most {most} characters"
    if isinstance(field, ChoiceField | ProductField) and field.options:
        for option in field.options if target in _OF_WORDS else ():
            if option not in WORDS[target]:
                yield ("options", option), f"{target} is one of {', '.join(filter(None, WORDS[target]))}"
        if isinstance(field, ChoiceField) and field.multiple and len(",".join(field.options)) > most:
            yield ("options",), f"all options together have more than {most} characters"
