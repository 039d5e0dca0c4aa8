"""The parts of a policy about promised times and notices (docs/policy.md)."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.events import EscalationAction, Priority, Target
from shared.policy.durations import Business, Percent


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Recipient = Annotated[
    str,
    Field(pattern=r"^((role:)?[A-Za-z0-9][A-Za-z0-9_.-]{0,63}|[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190})$"),
]


class Step(_Part):
    """One escalation: `at` a part of the target, or `before` / `after` its due in business time.

    `repeat` does it again that much later, `times` in all, the first included. `to` is whom `notify` tells: a
    person, `role:NAME`, or an e-mail address.
    """

    at: Percent | None = None
    before: Business | None = None
    after: Business | None = None
    do: Annotated[
        list[EscalationAction],
        BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
        Field(min_length=1),
    ]
    to: Annotated[
        list[Recipient],
        BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
        Field(max_length=20),
    ] = []
    repeat: Business | None = None
    times: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if sum(moment is not None for moment in (self.at, self.before, self.after)) != 1:
            raise ValueError("a step has exactly one of at, before, after")
        if ("notify" in self.do) != bool(self.to):
            raise ValueError("`do: notify` and `to` go together")
        if (self.repeat is None) != (self.times == 1):
            raise ValueError("`repeat` and `times` (2 or more) go together")
        if self.repeat is not None and not (self.repeat.seconds or self.repeat.days):
            raise ValueError("`repeat` is longer than zero")
        return self


Promisable = Literal["first_response", "update", "resolution"]
"""What an entry promises by itself; an `ola` is the department's own (departments.NAME.ola)."""


class SlaEntry(_Part):
    """Promised times of the cases for which `when` holds; `calendar` is the department's unless said."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    when: Annotated[str, Field(min_length=1, max_length=2000)] = "true"
    calendar: str | None = None
    targets: dict[Promisable, dict[Priority, Business]] = Field(min_length=1)
    pause_on: list[Literal["pending_customer", "pending_internal"]] = ["pending_customer"]
    escalate: dict[Target, list[Step]] = {}


class QuietHours(_Part):
    """Local times of the organisation between which people are not reminded; may pass midnight."""

    model_config = ConfigDict(populate_by_name=True)
    start: str = Field(alias="from", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    end: str = Field(alias="to", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


class Notify(_Part):
    """`digest_over`: more notices than this for one recipient in a minute become one digest."""

    quiet_hours: QuietHours | None = None
    digest_over: Annotated[int, Field(ge=1, le=10_000)] = 50
