"""The fields that a form may have, by type: what stands in its YAML, and where the answer goes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, model_validator
from pydantic import Field as Limit

from shared.events import Metric
from shared.policy.models import Cel, Part, Text

OptionName = Annotated[str, Limit(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
LONGEST_LINE, LONGEST_TEXT = 200, 20_000
SCALES: dict[Metric, tuple[int, int]] = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
_MOST_STEPS = 11


def _both(text: Any) -> Any:
    if not (text.zh and text.en):
        raise ValueError("needs zh and en")
    return text


Words = Annotated[Text, AfterValidator(_both)]
"""A text in both languages; one string stands for both."""


def _day(text: str) -> str:
    if text != "today":
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError("is a day as in 2026-03-02, or today") from None
    return text


class _Field(Part):
    """What every field has. `to`: the field of the feedback that the answer becomes; `show_if`: asked only
    where this condition over earlier answers holds."""

    label: Words
    hint: Words | None = None
    required: bool = False
    to: str | None = None
    show_if: Cel | None = None


class TextField(_Field):
    """One line, or many. `min` and `max` are characters."""

    type: Literal["text"]
    lines: Literal["one", "many"] = "one"
    min: Annotated[int, Limit(ge=0, le=LONGEST_TEXT)] = 0
    max: Annotated[int, Limit(ge=1, le=LONGEST_TEXT)] | None = None
    autocomplete: Literal["name", "organization"] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError("`max` is less than `min`")
        return self


class ChoiceField(_Field):
    """`options`: value and what is read beside it. With `multiple` any number of them."""

    type: Literal["choice"]
    options: Annotated[dict[OptionName, Words], Limit(min_length=2, max_length=50)]
    multiple: bool = False

    @model_validator(mode="after")
    def _apart(self) -> Self:
        inside = [(a, b) for a in self.options for b in self.options if a != b and a in b]
        if self.multiple and inside:
            raise ValueError(f"option {inside[0][0]} is a part of {inside[0][1]}: conditions mix them up")
        return self


class RatingField(_Field):
    """A question on a scale; `low` and `high` name its ends. NPS is asked on 0 to 10 only."""

    type: Literal["rating"]
    metric: Metric
    scale: Annotated[list[int], Limit(min_length=2, max_length=2)] | None = None
    low: Words
    high: Words

    @model_validator(mode="after")
    def _scale_fits(self) -> Self:
        first, last = self.ends
        if self.metric == "nps" and (first, last) != SCALES["nps"]:
            raise ValueError("NPS is asked on a scale from 0 to 10")
        if not -1000 <= first < last <= 1000 or last - first >= _MOST_STEPS:
            raise ValueError(f"a scale is [first, last] with at most {_MOST_STEPS} steps")
        return self

    @property
    def ends(self) -> tuple[int, int]:
        first, last = self.scale or SCALES[self.metric]
        return first, last


class DateField(_Field):
    """`min` and `max` are days, or `today` in the form's time zone."""

    type: Literal["date"]
    min: Annotated[str, AfterValidator(_day)] | None = None
    max: Annotated[str, AfterValidator(_day)] | None = None

    def limits(self, today: date) -> tuple[date | None, date | None]:
        first, last = (
            today if text == "today" else date.fromisoformat(text) if text else None
            for text in (self.min, self.max)
        )
        return first, last


class EmailField(_Field):
    type: Literal["email"]


class PhoneField(_Field):
    type: Literal["phone"]


class OrderField(_Field):
    type: Literal["order"]


class ProductField(_Field):
    """One of `options`, or one line where there are none."""

    type: Literal["product"]
    options: Annotated[dict[OptionName, Words], Limit(min_length=2, max_length=200)] | None = None


class ConsentField(_Field):
    """A box to tick; required: it has to be ticked."""

    type: Literal["consent"]


Field = Annotated[
    TextField
    | ChoiceField
    | RatingField
    | DateField
    | EmailField
    | PhoneField
    | OrderField
    | ProductField
    | ConsentField,
    Limit(discriminator="type"),
]
