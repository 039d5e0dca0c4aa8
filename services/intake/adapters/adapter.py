"""The payload of a foreign system to the JSON bodies of our own signals. Pure: no I/O, no time."""

from __future__ import annotations

from typing import Any, NamedTuple

from services.intake.adapters.paths import Found, Path, Place
from services.intake.adapters.spec import AdapterSpec, Pick
from services.intake.domain.inputs import Flaw, Refused
from shared.mapping import split_target
from shared.mapping_cells import Convert, RowError, converted, converter
from shared.mapping_spec import NUMBERS
from shared.policy import Values, compile_expression

MAX_SIGNALS = 1000
"""Of one payload."""


class Mapped(NamedTuple):
    """`body`: as POST /v1/feedback or /v1/activity takes it. `places`: where in the payload a field comes
    from, or where it would stand; fields that are constants have none."""

    body: dict[str, Any]
    places: dict[str, Place]

    def at_its_place(self, flaw: Flaw) -> Flaw:
        """What is wrong with a field of the body, told of the payload."""
        field = ".".join(flaw.path)
        return Flaw(
            self.places.get(field, ()), f"{field}: {flaw.message}" if field else flaw.message, flaw.limit
        )


class _Field:
    """One field with its path and its conversion, compiled."""

    def __init__(self, target: str, pick: Pick) -> None:
        self.target, self.path = target, Path(pick.column)
        self._default = pick.default
        self._convert: Convert | None = converter(target, pick)
        self._keeps_type = target.startswith("attributes.") and self._convert is None

    def value(self, found: Found) -> Any:
        """The field's value, or None. Raises Refused."""
        text = _text(self.target, found)
        if not text.strip():
            return self._default
        if self._keeps_type:
            return found.value
        try:
            return converted(self.target, self._convert, text, self._default)
        except RowError as error:
            raise Refused([Flaw(found.place, f"{self.target}: {error.reason}")]) from None


class Adapter:
    """A checked adapter, its paths and its condition compiled. Use `elements`, then `mapped` for each."""

    def __init__(self, spec: AdapterSpec) -> None:
        self.signal, self.source, self.scheme = spec.signal, spec.source, spec.scheme
        self._constants = dict(spec.constants)
        self._fields = [_Field(target, pick) for target, pick in spec.columns.items()]
        self._each = Path(spec.each) if spec.each else None
        self._identity = [Path(text) for text in spec.identity or ()]
        self._when = compile_expression(spec.when, spec.condition_fields) if spec.when else None

    def elements(self, payload: Any) -> list[Found]:
        """What each becomes a signal: the payload, or the elements of its list. Raises Refused."""
        whole = Found(payload, ())
        if self._each is None:
            return [whole]
        value, place = self._each.first(payload, whole)
        if not isinstance(value, list):
            raise Refused([Flaw(place, "must be a list: the adapter makes a signal of each of its elements")])
        if len(value) > MAX_SIGNALS:
            raise Refused([Flaw(place, f"has more than {MAX_SIGNALS} elements", MAX_SIGNALS)])
        return [Found(element, (*place, str(index))) for index, element in enumerate(value)]

    def mapped(self, payload: Any, element: Found, delivery: str) -> Mapped | None:
        """The body of one signal; None where `when` says that it is none.

        `delivery`: the signed id of the request, which identifies the signal where the adapter names nothing
        else. Raises Refused with all that is wrong, at its place in the payload.
        """
        values: dict[str, Any] = {"source": self.source, **self._constants}
        places: dict[str, Place] = {}
        flaws: list[Flaw] = []
        for field in self._fields:
            found = field.path.first(payload, element)
            places[field.target] = found.place
            try:
                values[field.target] = field.value(found)
            except Refused as refused:
                flaws += refused.flaws
        if self._when and not self._when.evaluate(Values(dict.fromkeys(NUMBERS) | _given(values))):
            return None
        try:
            values["external_id"], places["external_id"] = self._external_id(payload, element, delivery)
        except Refused as refused:
            flaws += refused.flaws
        if flaws:
            raise Refused(flaws)
        return Mapped(_body(_given(values)), places)

    def _external_id(self, payload: Any, element: Found, delivery: str) -> tuple[str, Place]:
        if not self._identity:
            return (delivery if self._each is None else f"{delivery}/{element.place[-1]}"), ()
        found = [path.first(payload, element) for path in self._identity]
        parts = [_text("identity", part) for part in found]
        for part, text in zip(found, parts, strict=True):
            if not text.strip():
                raise Refused([Flaw(part.place, "identity: is missing")])
        if len(parts) > 1:  # so that no two lists of parts make the same id
            parts = [text.replace("~", "~0").replace("/", "~1") for text in parts]
        return "/".join(parts), found[0].place


def _text(field: str, found: Found) -> str:
    """A scalar as text, null as nothing. Raises Refused for a list, an object, and half a character."""
    value = found.value
    if isinstance(value, dict | list):
        kind = "an object" if isinstance(value, dict) else "a list"
        raise Refused([Flaw(found.place, f"{field}: must be text or a number, not {kind}")])
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused([Flaw(found.place, f"{field}: contains half of a surrogate pair")]) from None
    return text


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {target: value for target, value in values.items() if value is not None and value != ""}


def _body(values: dict[str, Any]) -> dict[str, Any]:
    """Dotted fields as objects. A rating whose score was not given was not given."""
    body: dict[str, Any] = {}
    for target, value in values.items():
        group, name = split_target(target)
        (body.setdefault(group, {}) if group else body)[name] = value
    if "score" not in body.get("rating", {"score": None}):
        del body["rating"]
    return body
