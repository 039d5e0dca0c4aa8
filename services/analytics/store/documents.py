"""Facts as MongoDB keeps them: what can be told from the rest of a document is not said twice.

A case's labels are the fact's; of what a customer said, only the labels that the fact has otherwise are kept
apart. The parts of a joint are nobody's to search, so they are one packed value. It halves what is encoded
and decoded for every event. The terms of a text are sealed with the key of who said it: with the fact, which
names the customer, they could be read as the text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from bson import Binary

from services.analytics.domain.feedback import SAID_LABELS, FeedbackFact
from services.analytics.domain.joints import JointFact, Part
from services.analytics.domain.rows import Fact
from services.analytics.domain.tallies import VOICE
from shared.events import Words
from shared.mongo import Document
from shared.sealing import Seals, place_in, whose

F = TypeVar("F", bound=Fact)
NATIVE = (datetime, UUID)
"""Values that BSON has types of its own for."""
_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
_parts = msgspec.msgpack.Decoder(dict[str, Part])


def document(fact: Fact, seals: Seals) -> Document:
    """A fact as MongoDB keeps it."""
    if isinstance(fact, JointFact):
        measures: Any = msgspec.to_builtins(fact.m, builtin_types=NATIVE)
        return {"_id": fact.id, "m": measures, "p": Binary(_pack(fact.parts))}
    built: Document = msgspec.to_builtins(fact, builtin_types=NATIVE)
    built.pop("place", None)  # it stands in what is sealed
    if state := built.get("state"):
        del state["labels"]
    if said := built.get("said"):
        labels, own = built["d"], said.pop("labels")
        said["own"] = {name: value for name, value in own.items() if labels[name] != value}
        for measure in built["m"]:
            if measure["k"] == VOICE.name:
                words = _json(Words(text=measure["d"].pop("terms")))
                owner = whose(said.get("customer_id", ""), built["_id"])
                built["terms"] = Binary(seals.seal_again(place_of(fact), owner, words))
    return built


def place_of(fact: Fact) -> bytes:
    """Of the key that a text's terms are sealed with; nothing where that is not known."""
    return fact.place if isinstance(fact, FeedbackFact) else b""


def reveal_terms(stored: Document, seals: Seals) -> None:
    """Put the terms of a text back where they are counted. Of who was erased they stay counted as they were
    at last: nobody can tell any more what to take back."""
    sealed = stored.pop("terms", None)
    if sealed is None:
        return
    words, stored["place"] = seals.open(sealed), place_in(sealed)
    counted = [measure for measure in stored["m"] if measure["k"] != VOICE.name or words is not None]
    for measure in counted:
        if words is not None and measure["k"] == VOICE.name:
            measure["d"]["terms"] = words.text
    stored["m"] = counted


def fact_of(stored: Document, kind: type[F]) -> F:
    """The fact that a document keeps."""
    if "p" in stored:
        stored["parts"] = _parts.decode(stored.pop("p"))
    elif state := stored.get("state"):
        state["labels"] = stored["d"]
    elif said := stored.get("said"):
        labels = stored["d"]
        said["labels"] = {name: labels[name] for name in SAID_LABELS} | said.pop("own")
    return msgspec.convert(stored, kind)
