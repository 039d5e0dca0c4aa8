"""JSON bytes to a checked signal, strictly (RFC 8259, and I-JSON's unique names: RFC 7493, 2.3).

The fast way is one decode by msgspec and one comparison. Whatever does not pass it is read a second time, by
diagnosis.py, which knows where each flaw stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from services.intake.domain.checks import check, check_characters
from services.intake.domain.diagnosis import diagnose
from services.intake.domain.inputs import ActivityInput, FeedbackInput
from services.intake.domain.normal import PERSONAL_QUOTES, is_personal, normalised, write

S = TypeVar("S", FeedbackInput, ActivityInput)

_BACKSLASH, _DELETE = b"\\\x7f"
_QUOTE = ord('"')
_ESCAPED_QUOTE = rb"\u0022"


class Said(msgspec.Struct, Generic[S], frozen=True, gc=False):
    """A checked signal in its normal form, and that form written."""

    signal: S
    written: bytes


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
        written = write(said)
        quotes = written.count(_QUOTE) - (0 if said.source is signal.source else _quotes_of_source(source))
        quotes -= PERSONAL_QUOTES if is_personal(said.customer) else 0
        plain = not (escapes and _ESCAPED_QUOTE in raw) and _is_whole(raw, quotes)
        if not plain and (refused := diagnose(raw, self.type, now, certain=False)):
            raise refused
        return Said(said, written)


def _is_whole(raw: bytes, written_quotes: int) -> bool:
    """Whether no name stands twice for certain; msgspec takes the last of several without a word.

    Written anew, a signal has at most the quotes of `raw`: two for each name and each string, and those
    inside strings, which both write with a backslash unless the sender wrote \\u0022. So as many quotes mean
    that nothing was left out. Fewer mean a name that stands twice, or a default that the sender spelt out:
    the plain value, which keeps those, tells. Looking at all pairs would cost more than the decoding itself.
    """
    quotes = raw.count(_QUOTE)
    return quotes == written_quotes or quotes == msgspec.json.encode(msgspec.json.decode(raw)).count(_QUOTE)


def _quotes_of_source(source: str) -> int:
    """Those that naming the source adds: two for the name, two around, and what stands in it."""
    return 4 + source.count('"')
