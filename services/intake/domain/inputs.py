"""What a sender may say, field by field, with its limits: the contract of the HTTP bodies.

Strict on purpose: no unknown fields, no nulls, no numbers in strings. An empty string means "not given". New
fields go to the end and have a default, else the fingerprint of an unchanged signal would change.
"""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.errors import CQMError
from shared.events import ActivityKind, Channel, Kind, Language, Metric, Severity, Touchpoint, Urgency

Line = Annotated[str, Meta(max_length=200, description="One line: no control characters.")]
Moment = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339 with an offset, 1990 to 2100, at most 5 minutes ahead. "
        "Without it: the time of receipt.",
    ),
]
NAME_PATTERN = "^(?!__)[A-Za-z0-9_-]{1,64}$"
AttributeName = Annotated[str, Meta(pattern=NAME_PATTERN)]
AttributeValue = (
    Annotated[str, Meta(max_length=1000)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | bool
)
# Names are judged by checks.py, which remembers those that are right: the decoder would match each of them
# against the pattern, each time, for a fifth of all that it takes.
Attributes = Annotated[
    dict[str, AttributeValue],
    Meta(
        max_length=50,
        description="Flat: text, numbers, true or false.",
        extra_json_schema={"propertyNames": {"pattern": NAME_PATTERN}},
    ),
]
ScaleEnd = Annotated[int, Meta(ge=-1000, le=1000)]


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Base of what comes in."""


class CustomerInput(Input, frozen=True, kw_only=True):
    """Who spoke. Name, phone and email are personal data and travel apart from the rest."""

    id: Line = ""
    tier: Line = ""
    region: Line = ""
    name: Line = ""
    phone: Annotated[str, Meta(max_length=64)] = ""
    email: Annotated[str, Meta(max_length=254)] = ""


class ProductInput(Input, frozen=True, kw_only=True):
    sku: Line = ""
    model: Line = ""
    batch: Line = ""


class RatingInput(Input, frozen=True, kw_only=True):
    """An answer on the scale it was asked on. NPS is asked on 0 to 10 only, and is a whole number."""

    metric: Metric
    score: int | float
    scale_min: ScaleEnd
    scale_max: ScaleEnd


NO_CUSTOMER = CustomerInput()
NO_PRODUCT = ProductInput()


class FeedbackInput(Input, frozen=True, kw_only=True):
    """One signal of a customer. Required: `kind`, and one of `text`, `subject`, `rating`."""

    source: Line = ""
    external_id: Line = ""
    kind: Kind
    channel: Channel = "api"
    occurred_at: Moment | UnsetType = UNSET
    language: Language | Literal[""] = ""
    subject: Annotated[str, Meta(max_length=500)] = ""
    text: Annotated[str, Meta(max_length=20_000)] = ""
    customer: CustomerInput = NO_CUSTOMER
    product: ProductInput = NO_PRODUCT
    order_id: Line = ""
    supplier_id: Line = ""
    touchpoint: Touchpoint = ""
    category: Line = ""
    severity: Severity | Literal[""] = ""
    urgency: Urgency | Literal[""] = ""
    rating: RatingInput | UnsetType = UNSET
    attributes: Attributes = {}


class ActivityInput(Input, frozen=True, kw_only=True):
    """Business that happened: the denominators of the rates. Required: `kind`."""

    source: Line = ""
    external_id: Line = ""
    kind: ActivityKind
    occurred_at: Moment | UnsetType = UNSET
    customer: CustomerInput = NO_CUSTOMER
    product: ProductInput = NO_PRODUCT
    supplier_id: Line = ""
    department: Line = ""
    quantity: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1
    attributes: Attributes = {}


class Flaw(NamedTuple):
    """One thing that is wrong: where it stands, what is wrong with it, and the limit. Never the value."""

    path: tuple[str, ...]
    message: str
    limit: int | float | str | None = None


class Refused(CQMError):
    """What a sender said cannot be taken. `malformed`: it is not even JSON."""

    def __init__(self, flaws: list[Flaw], *, malformed: bool = False) -> None:
        super().__init__(flaws[0].message)
        self.flaws = flaws
        self.malformed = malformed
