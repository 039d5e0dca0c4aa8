"""Rows whose cells are right one by one become events without ever being a feedback in between.

A mapping and a header are compiled once: for each column, how a cell becomes its piece of the normal form
(domain/normal.py), in the order of the contract. Most columns hold few different cells, whose pieces are
remembered. What is wrong or in doubt is left to the careful way (rows.py), which knows how to say why. That
both make the same event, `tests/unit/test_import_quick.py` proves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

import msgspec

from services.intake.api.signals import Arrival, Heard, owner_of
from services.intake.domain.checks import check, is_clean
from services.intake.domain.inputs import AttributeValue, CustomerInput, FeedbackInput, ProductInput, Refused
from services.intake.domain.rows import read_row
from services.intake.domain.signals import Sender, identity
from shared.mapping import Mapping, Part, Row, RowError, Slot

_KEPT_CELLS, _KEPT_CHARACTERS = 5000, 300_000
"""Of each column: cells whose pieces are remembered, and characters of them in all."""
_LONGEST_RATING = 64
"""Characters of the cells of a rating that is remembered."""
_MOST_ATTRIBUTES, _LONGEST_ATTRIBUTE = 50, 1000
_CUSTOMER, _PERSONAL = ("id", "tier", "region"), ("name", "phone", "email")
_PROSE = ("text", "subject")
_encoder = msgspec.json.Encoder()
_NONE = Part({}, [])


class Doubt(Exception):
    """A row that may be wrong, or has to be looked at as a whole."""


class _Field:
    """A field of the contract as the normal form has it: `"name":value,`, nothing where it is the default."""

    def __init__(self, name: str, kind: Any, default: Any, *, prose: bool) -> None:
        """`prose`: several lines are allowed."""
        self.name, self._kind, self._default, self._prose = name, kind, default, prose
        self._head = _encoder.encode(name) + b":"
        limits = [meta.max_length for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
        self._longest = _LONGEST_ATTRIBUTE if kind is AttributeValue else limits[0] if limits else None
        """Characters of text that needs no other look."""

    def piece(self, value: Any, now: datetime) -> bytes:
        """Raises Doubt."""
        if type(value) is not str or self._longest is None:
            value = self._checked(value, now)
        elif len(value) > self._longest or not value.strip() or not is_clean(value, prose=self._prose):
            raise Doubt
        return b"" if value == self._default else b"%b%b," % (self._head, _encoder.encode(value))

    def _checked(self, value: Any, now: datetime) -> Any:
        try:
            if self.name == "occurred_at":
                return _past(msgspec.convert(value, datetime), now)
            return msgspec.convert(value, self._kind)
        except msgspec.ValidationError as error:
            raise Doubt from error


def _past(at: datetime, now: datetime) -> datetime:
    """In UTC. Raises Doubt for a time without an offset, out of range, or that has to be set back."""
    if (
        at.tzinfo is None
        or at > now
        or check(FeedbackInput(kind="complaint", subject="-", occurred_at=at), now)
    ):
        raise Doubt
    return at.astimezone(UTC)


class _Column:
    """From the cells of one column to pieces of one field."""

    def __init__(self, field: _Field, slot: Slot) -> None:
        self._field, self._slot = field, slot
        self.known: dict[str, bytes] = {}
        self._room = _KEPT_CHARACTERS

    def piece(self, cell: str, now: datetime) -> bytes:
        """Raises Doubt."""
        try:
            value = self._slot.value(cell)
        except RowError as error:
            raise Doubt from error
        made = b"" if value is None else self._field.piece(value, now)
        if len(cell) <= self._room and len(self.known) < _KEPT_CELLS:
            self.known[cell] = made
            self._room -= len(cell)
        return made


class _Section(NamedTuple):
    """Pieces `start` to `end` of a row: one object of the body (`open`: its name and brace), or some of those
    that stand in the body itself. `within`: an object that ends it."""

    open: bytes
    start: int
    end: int
    within: _Section | None = None

    @property
    def used(self) -> bool:
        return self.start < self.end or (self.within is not None and self.within.used)


class _Rows:
    """The pieces of a row: first all as they are without any column, then those of its cells."""

    def __init__(self, now: datetime) -> None:
        self.template: list[bytes] = []
        self.columns: list[tuple[int, int, _Column]] = []
        self.places: dict[str, int] = {}
        self._now = now

    def section(self, opened: str, fields: Iterable[_Field], part: Part) -> _Section:
        """Raises Doubt where a constant does not fit."""
        start, slots = len(self.template), {slot.field: slot for slot in part.slots}
        for field in fields:
            slot, given = slots.get(field.name), part.constants.get(field.name)
            if slot is None and given is None:
                continue
            if slot is not None:
                self.columns.append((len(self.template), slot.place, _Column(field, slot)))
            self.places[field.name] = len(self.template)
            self.template.append(b"" if given is None else field.piece(given, self._now))
        return _Section(f'"{opened}":{{'.encode() if opened else b"", start, len(self.template))

    def place(self, name: str) -> int:
        """Of a field's piece; of one that is always empty where the field is never said."""
        return self.places.get(name, -1)

    def of(self, row: Row, now: datetime) -> list[bytes]:
        """With an empty piece at the end. Raises Doubt, and IndexError for a row that is too short."""
        pieces = [*self.template, b""]
        for index, place, column in self.columns:
            known = column.known.get(row[place])
            pieces[index] = column.piece(row[place], now) if known is None else known
        return pieces


class _Said:
    """What one field says, as text: a constant, or its cell."""

    def __init__(self, part: Part, field: str) -> None:
        self._constant = part.constants.get(field) or ""
        self._slot = next((slot for slot in part.slots if slot.field == field), None)

    def of(self, row: Row) -> str:
        """Of a row whose pieces are there, so that its cell fits."""
        return self._constant if self._slot is None else self._slot.value(row[self._slot.place]) or ""


class QuickRows:
    """`sender.key`: by which a row without an external id is known, with its number."""

    def __init__(self, mapping: Mapping, header: Sequence[str], sender: Sender, now: datetime) -> None:
        """Raises Doubt where this mapping needs the careful way for every row."""
        if sender.fixed and mapping.source != sender.source:
            raise Doubt
        self._key, self._source = sender.key, mapping.source
        parts = mapping.parts(header)
        whole, who = parts[""], parts.get("customer", _NONE)
        self._ratings = _Ratings(parts.get("rating"))
        self._rows = rows = _Rows(now)
        fields, split = _fields(FeedbackInput, _TOP), _TOP.index("order_id")
        goods, more = parts.get("product", _NONE), parts.get("attributes", _NONE)
        first = rows.section("", fields[:split], whole)
        self._person = person = rows.section("personal", _fields(CustomerInput, _PERSONAL), who)
        customer = rows.section("customer", _fields(CustomerInput, _CUSTOMER), who)
        customer = customer._replace(within=person if person.used else None)
        product = rows.section("product", _fields(ProductInput, ProductInput.__struct_fields__), goods)
        last = rows.section("", fields[split:], whole)
        attributes = rows.section("attributes", _attributes(more), more)
        behind = len(rows.template) + 1
        rating = _Section(b"", behind, behind + 1)
        sections = (first, customer, product, last, rating, attributes)
        self._sections = [section for section in sections if section.used]
        self._at = [rows.place(name) for name in ("kind", "text", "subject", "language", "occurred_at")]
        self._external_id, self._customer = _Said(whole, "external_id"), _Said(who, "id")
        self._texts = [_Said(whole, name) for name in _PROSE]

    def hear(self, number: int, row: Row, arrival: Arrival) -> Heard:
        """A row that is no wider than the header. Raises Doubt."""
        try:
            pieces, rating = self._rows.of(row, arrival.at), self._ratings.piece(row, arrival.at)
        except IndexError as error:
            raise Doubt from error
        kind, text, subject, language, occurred_at = [pieces[place] for place in self._at]
        if not (kind and (text or subject or rating)):
            raise Doubt
        pieces.append(rating)
        written = self._written(pieces)
        texts = () if language else [said.of(row) for said in self._texts]
        external_id = self._external_id.of(row)
        key = () if external_id else (*self._key, str(number))
        name = identity("feedback", self._source, external_id, key)
        personal = b"".join(pieces[self._person.start : self._person.end])
        personal = b"{%b}" % personal[:-1] if personal else b""
        customer, added = self._customer.of(row), arrival.added(texts, dated=bool(occurred_at))
        owner = owner_of(customer, name, personal, in_words=bool(subject or text))
        return Heard(arrival, name, customer, written, personal, added, owner)

    def _written(self, pieces: list[bytes]) -> bytes:
        """`pieces`: those of the row, an empty one, and that of its rating."""
        whole = []
        for opened, start, end, within in self._sections:  # a call for each would take half as long again
            inner = b"".join(pieces[start:end])
            if within is not None:
                apart = b"".join(pieces[within.start : within.end])
                inner += within.open + apart[:-1] + b"}," if apart else b""
            whole.append(opened + inner[:-1] + b"}," if opened and inner else inner)
        return b"{" + b"".join(whole)[:-1] + b"}"


class _Ratings:
    """Several cells that only fit together; of whole ratings there are few."""

    def __init__(self, part: Part | None) -> None:
        self._part = part
        self._places = [slot.place for slot in part.slots] if part else []
        self._known: dict[tuple[str, ...], bytes] = {}

    def piece(self, row: Row, now: datetime) -> bytes:
        """Raises as `_Rows.of` does."""
        if self._part is None:
            return b""
        cells = tuple(row[place] for place in self._places)
        known = self._known.get(cells)
        if known is None:
            known = _rating(self._part, row, now)
            if len(self._known) < _KEPT_CELLS and sum(map(len, cells)) <= _LONGEST_RATING:
                self._known[cells] = known
        return known


def _rating(part: Part, row: Row, now: datetime) -> bytes:
    try:
        said = part.fill(row)
        written = read_row({"kind": "survey", "subject": "-", "rating": said}, now, "").written
    except (RowError, Refused) as error:
        raise Doubt from error
    return written[written.index(b'"rating":') : -1] + b","


def _fields(kind: type[msgspec.Struct], names: Iterable[str]) -> list[_Field]:
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    return [_Field(name, known[name].type, known[name].default, prose=name in _PROSE) for name in names]


def _attributes(part: Part) -> list[_Field]:
    """In the order in which the normal form has them. Raises Doubt for more than a feedback may have."""
    names = sorted({*part.constants, *(slot.field for slot in part.slots)})
    if len(names) > _MOST_ATTRIBUTES:
        raise Doubt
    return [_Field(name, AttributeValue, msgspec.UNSET, prose=True) for name in names]


_GROUPS = ("customer", "product", "rating", "attributes")
_TOP = tuple(name for name in FeedbackInput.__struct_fields__ if name not in _GROUPS)
