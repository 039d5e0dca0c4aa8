"""The vocabulary of adapters, checked when they are read. Fields follow the rules of import mappings."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Map
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.intake.adapters.paths import Path
from services.intake.domain.webhooks import SCHEMES
from shared.mapping_spec import ACTIVITY, FEEDBACK, NUMBERS, Column, MappingSpec, Vocabulary
from shared.policy import ExpressionError, compile_expression
from shared.policy.fields import ATTRIBUTES, FieldKind

_PERSONAL = frozenset({"customer.name", "customer.phone", "customer.email"})


def _checked_path(text: str) -> str:
    Path(text)
    return text


def _checked_scheme(name: str) -> str:
    if name not in SCHEMES:
        raise ValueError(f"scheme is one of {', '.join(SCHEMES)}")
    return name


PathText = Annotated[str, AfterValidator(_checked_path)]


class Secret(BaseModel):
    """Where the secret stands: in an environment variable, or in a file. Never the secret itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]{0,127}$")
    file: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has either env or file")
        return self


class Pick(Column):
    """Where a field comes from: the rules of a column, with a JSON path instead of a column's name."""

    column: PathText = Field(alias="path", min_length=1)


def _as_pick(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class AdapterSpec(MappingSpec):
    """A whole adapter file; docs/webhooks.md tells every key."""

    scheme: Annotated[str, AfterValidator(_checked_scheme)]
    secret: Secret
    signal: Literal["feedback", "activity"] = "feedback"
    each: PathText | None = None
    when: str | None = None
    identity: list[PathText] | None = Field(default=None, min_length=1, max_length=5)
    columns: Map[str, Annotated[Pick, BeforeValidator(_as_pick)]] = Field(alias="fields", min_length=1)

    @property
    def vocabulary(self) -> Vocabulary:
        known = FEEDBACK if self.signal == "feedback" else ACTIVITY
        return known._replace(targets=known.targets - {"external_id"})

    @property
    def condition_fields(self) -> dict[str, FieldKind]:
        """What `when` may name: the fields as they are mapped, without personal data and times."""
        named = self.vocabulary.targets - _PERSONAL - {"occurred_at"}
        kinds: dict[str, FieldKind] = {name: "number" if name in NUMBERS else "text" for name in named}
        return {**kinds, ATTRIBUTES: "text"}

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        yield from super().problems()
        if self.identity is None and not SCHEMES[self.scheme].signs_an_id:
            yield ("scheme",), "no id is signed in this scheme: say under identity which paths name one"
        if self.each is None:
            picks: list[tuple[tuple[str, ...], str]] = [(("identity",), path) for path in self.identity or ()]
            picks += [(("fields", target), pick.column) for target, pick in self.columns.items()]
            for keys, path in picks:
                if path.startswith("@"):
                    yield keys, "a path that begins with @ starts at an element of each, which is not given"
        elif self.each.startswith("@"):
            yield ("each",), "begins with $"
        elif self.identity is not None and not any(path.startswith("@") for path in self.identity):
            yield ("identity",), "every element of each would have the same identity: name a path with @"
        if self.when is not None:
            try:
                compile_expression(self.when, self.condition_fields)
            except ExpressionError as error:
                yield ("when",), str(error)
