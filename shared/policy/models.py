"""The vocabulary of docs/policy.md, as frozen models: what may stand in a policy file and nothing else.

Cross-references (does this department exist?) are the business of check.py. The JSON Schema for editors
comes from here (`python -m shared.policy.schema`). Grow it, never rename it.
"""

from datetime import date
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from shared.events import Language, Priority, Severity, Urgency
from shared.opening_hours import HoursError, parse_zone
from shared.policy.durations import Business, DayLength, Wall
from shared.policy.sla_models import Notify, SlaEntry

PRIORITIES: tuple[Priority, ...] = ("P1", "P2", "P3", "P4")
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
_WEIGHTS: dict[Priority, int] = {"P1": 3, "P2": 2, "P3": 1, "P4": 1}
URGENCIES: tuple[Urgency, ...] = ("high", "medium", "low")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
MOST_LEVELS = 6
_LEVEL = "[a-z0-9_-]{1,64}"
CategoryName = Annotated[str, Field(pattern=rf"^{_LEVEL}(\.{_LEVEL}){{0,{MOST_LEVELS - 1}}}$")]
Count = Annotated[int, Field(ge=0, le=100_000)]
Cel = Annotated[str, Field(min_length=1, max_length=2000)]


class Part(BaseModel):
    """Base: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _both_languages(value: Any) -> Any:
    return {"zh": value, "en": value} if isinstance(value, str) else value


class _Text(Part):
    zh: str = ""
    en: str = ""

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if not (self.zh or self.en):
            raise ValueError("a text needs zh or en")
        return self

    def in_language(self, language: str) -> str:
        """The text for a reader: zh where asked and given, else en, else what there is."""
        return (self.zh or self.en) if language == "zh" else (self.en or self.zh)


Text = Annotated[_Text, BeforeValidator(_both_languages, json_schema_input_type=_Text | str)]


def _zone(value: str) -> str:
    try:
        parse_zone(value)
    except HoursError as error:
        raise ValueError(f"{error.reason}, such as Asia/Shanghai or UTC") from error
    return value


class Organisation(Part):
    """`time_zone`: in which quiet hours are meant."""

    name: Text
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    week_starts: Annotated[str, Field(pattern=r"^(mon|tue|wed|thu|fri|sat|sun)$")] = "mon"


class CalendarSpec(Part):
    """As in docs/policy.md and POST /v1/calendars/preview; compiled to shared.calendar.Calendar."""

    time_zone: str
    weekly: dict[str, list[str]]
    holidays: list[str] = []
    overrides: dict[str, list[str]] = {}
    breaks: dict[str, list[str]] = {}
    day: DayLength | None = None


class Department(Part):
    """`ola`: within which business time of its calendar the department is done with a case."""

    name: Text
    head: Name | None = None
    supervisor: Name | None = None
    calendar: Name
    backup: Name | None = None
    ola: dict[Priority, Business] = {}


class Away(Part):
    """Both days included, in the time zone of the person's calendar."""

    model_config = ConfigDict(strict=False, populate_by_name=True)
    first: date = Field(alias="from")
    last: date = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError("`to` is before `from`")
        return self


class Person(Part):
    """`capacity` is weighted open load; only people with the role `agent` are given cases."""

    name: str
    email: str = ""
    department: Name
    roles: list[Name] = ["agent"]
    skills: list[Name] = []
    languages: list[Language] = []
    capacity: Count = 10
    calendar: Name | None = None
    backup: Name | None = None
    away: list[Away] = []


class Category(Part):
    """`absence`: its words also count when they are denied: "no hot water" is about hot water."""

    name: Text | None = None
    words: dict[Language, list[Annotated[str, Field(min_length=1, max_length=100)]]] = {}
    severity: Severity | None = None
    urgency: Urgency | None = None
    absence: bool = False


class Join(Part):
    """`same` always has the customer: nobody's feedback becomes evidence in a stranger's case."""

    same: list[str] = ["customer.id", "category", "product.model"]
    within: Wall = Wall(7 * 86_400)


class _Raise(Part):
    """A condition that raises by one step, and why, for the reader of the decision."""

    when: Cel
    because: Text | None = None


def _bare_condition(value: Any) -> Any:
    return {"when": value} if isinstance(value, str) else value


Raise = Annotated[_Raise, BeforeValidator(_bare_condition, json_schema_input_type=_Raise | Cel)]


class Raised(Part):
    """Each condition that holds raises what nobody gave by one step, critical or high at most."""

    raise_for: list[Raise] = []


class PriorityMatrix(Part):
    """Severity x urgency, complete; each condition of `raise_for` that holds raises by one, P1 at most."""

    matrix: dict[Severity, dict[Urgency, Priority]] = {
        "critical": {"high": "P1", "medium": "P1", "low": "P2"},
        "high": {"high": "P1", "medium": "P2", "low": "P3"},
        "medium": {"high": "P2", "medium": "P3", "low": "P4"},
        "low": {"high": "P3", "medium": "P4", "low": "P4"},
    }
    raise_for: list[Raise] = []

    @field_validator("matrix")
    @classmethod
    def _complete(cls, matrix: dict[Severity, dict[Urgency, Priority]]) -> dict[Any, Any]:
        missing = [f"{s}/{u}" for s in SEVERITIES for u in URGENCIES if u not in matrix.get(s, {})]
        if missing:
            raise ValueError(f"no priority for {', '.join(missing)}")
        return matrix


class Cases(Part):
    open_when: Cel = (
        "kind in ['complaint', 'ticket', 'quality_report', 'return']"
        " || (has(rating) && rating.level in ['detractor', 'dissatisfied'])"
    )
    join: Join = Join()
    reopen_within: Wall = Wall(30 * 86_400)
    close_after: Wall = Wall(3 * 86_400)
    acknowledge_within: Business = Business(seconds=4 * 3600)
    severity: Raised = Raised()
    urgency: Raised = Raised()
    priority: PriorityMatrix = PriorityMatrix()

    @field_validator("acknowledge_within")
    @classmethod
    def _takes_time(cls, within: Business) -> Business:
        """Of none, a case would be overdue when it is given, and be given again at once, for ever."""
        if not (within.seconds or within.days):
            raise ValueError("`acknowledge_within` is longer than zero")
        return within


class Assign(Part):
    department: Name
    skills: list[Name] = []


class Rule(Part):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    when: Cel | None = None
    assign: Assign
    because: Text | None = None


Party = Annotated[str, Field(pattern=r"^(role:)?[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class RaciSpec(Part):
    """Departments, people, or `role:NAME` for all who have it."""

    consulted: list[Party] = []
    informed: list[Party] = []


class PolicyDocument(Part):
    """All sections of a policy folder, merged."""

    organisation: Organisation
    calendars: dict[Name, CalendarSpec] = Field(min_length=1)
    departments: dict[Name, Department] = Field(min_length=1)
    people: dict[Name, Person] = {}
    load: dict[Priority, Count] = {}
    categories: dict[CategoryName, Category] = {}
    causes: list[Name] = ["unknown"]
    raci: dict[CategoryName, RaciSpec] = {}
    cases: Cases = Cases()
    # each is compared with all before it, for what it can never take
    routing: list[Rule] = Field(min_length=1, max_length=1000)
    sla: list[SlaEntry] = Field([], max_length=1000)
    notify: Notify = Notify()


def weights_of(document: PolicyDocument) -> dict[str, int]:
    """What a case of each priority counts in its owner's load: as the policy says, else as usual."""
    return {priority: document.load.get(priority, usual) for priority, usual in _WEIGHTS.items()}
