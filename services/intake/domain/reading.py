"""JSON bytes to a checked signal, strictly (RFC 8259, and I-JSON's unique names: RFC 7493, 2.3).

The fast way is one decode by msgspec and one comparison. Whatever does not pass it is read a second time, by
diagnosis.py, which knows where each flaw stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET

from services.intake.domain.checks import check, check_characters
from services.intake.domain.diagnosis import diagnose
from services.intake.domain.inputs import ActivityInput, FeedbackInput
from services.intake.domain.normal import PERSONAL_BYTES, PERSONAL_QUOTES, is_personal, normalised, write

S = TypeVar("S", FeedbackInput, ActivityInput)

_BACKSLASH, _DELETE = b"\\\x7f"
_QUOTE = ord('"')
_ESCAPED_QUOTE = rb"\u0022"
_SHORTEST_MEMBER = len(',"a":0')


class Said(msgspec.Struct, Generic[S], frozen=True, gc=False):
    """A checked signal in its normal form, and that form written, as normal.write does."""

    signal: S
    written: bytes
    personal: bytes


@dataclass(frozen=True)
class Form(Generic[S]):
    """How one type of signal is read. Made once: the decoder is compiled."""

    type: type[S]
    decoder: msgspec.json.Decoder[S] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.type))

    def read(self, raw: bytes, now: datetime, source: str = "") -> Said[S]:
        """The signal in `raw`; `source` is that of one that names none. Raises Refused with all its flaws.

        A control character in a string is written with a backslash, or is DEL: without both there is none.
        """
        try:
            signal = self.decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise diagnose(raw, self.type, now) from None
        escapes = _BACKSLASH in raw
        if check(signal, now) or ((escapes or _DELETE in raw) and check_characters(signal)):
            raise diagnose(raw, self.type, now)
        said = normalised(signal, source)
        written, personal = write(said)
        named = b"" if said.source is signal.source else _member_of_source(source)
        if (
            not _has_no_room(raw, signal, written, len(named))
            and ((escapes and _ESCAPED_QUOTE in raw) or not _is_whole(raw, signal, written, named))
            and (refused := diagnose(raw, self.type, now, certain=False))
        ):
            raise refused
        return Said(said, written, personal)


def _has_no_room(raw: bytes, signal: FeedbackInput | ActivityInput, written: bytes, added: int) -> bool:
    """Whether `raw` is too short for a name that stands twice; msgspec takes the last of several silently.

    What was written has no blank and no escape that JSON does not ask for: nobody says the same in fewer
    bytes, but for numbers with a fraction (1e9 is 1000000000.0) and fractions of a second. So what `raw` has
    beyond it would have to hold the member that was left out. `added`: bytes that a sender did not say.
    """
    if is_personal(signal.customer):
        added += PERSONAL_BYTES
    return len(raw) - len(written) + added < _SHORTEST_MEMBER and not _may_be_shorter(signal)


def _may_be_shorter(signal: FeedbackInput | ActivityInput) -> bool:
    if float in map(type, signal.attributes.values()):
        return True
    rating, happened = getattr(signal, "rating", UNSET), signal.occurred_at
    return (rating is not UNSET and type(rating.score) is float) or (
        happened is not UNSET and happened.microsecond > 0
    )


def _is_whole(raw: bytes, signal: FeedbackInput | ActivityInput, written: bytes, added: bytes) -> bool:
    """Whether no name stands twice for certain, where blanks or escapes leave room for one.

    Written anew, a signal has at most the quotes of `raw`: two for each name and each string, and those
    inside strings, which both write with a backslash unless the sender wrote \\u0022. So as many quotes mean
    that nothing was left out. Fewer mean a name that stands twice, or a default that the sender spelt out:
    the plain value, which keeps those, tells. Looking at all pairs would cost more than the decoding itself.
    """
    quotes, said = raw.count(_QUOTE), written.count(_QUOTE) - added.count(_QUOTE)
    said -= PERSONAL_QUOTES if is_personal(signal.customer) else 0
    return quotes == said or quotes == msgspec.json.encode(msgspec.json.decode(raw)).count(_QUOTE)


def _member_of_source(source: str) -> bytes:
    """What naming the source adds."""
    return b'"source":%b,' % msgspec.json.encode(source)
