"""JSON bytes to a checked signal, strictly (RFC 8259, and I-JSON's unique names: RFC 7493, 2.3).

The fast way is one decode by msgspec and one comparison. Whatever does not pass it is read a second time, by
diagnosis.py, which knows where each flaw stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from services.intake.domain.checks import check
from services.intake.domain.diagnosis import diagnose
from services.intake.domain.inputs import ActivityInput, FeedbackInput, Refused

S = TypeVar("S", FeedbackInput, ActivityInput)

_encoder = msgspec.json.Encoder()
_ESCAPED_QUOTE = rb"\u0022"


@dataclass(frozen=True)
class Form(Generic[S]):
    """How one type of signal is read. Made once: the decoder is compiled."""

    type: type[S]
    decoder: msgspec.json.Decoder[S] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.type))

    def read(self, raw: bytes, now: datetime) -> S:
        """The signal in `raw`. Raises Refused with all that is wrong."""
        try:
            signal = self.decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise diagnose(raw, self.type, now) from None
        if not _is_plain(raw, signal) and (refused := diagnose(raw, self.type, now, certain=False)):
            raise refused
        if flaws := check(signal, now):
            raise Refused(flaws)
        return signal


def _is_plain(raw: bytes, signal: FeedbackInput | ActivityInput) -> bool:
    """Whether no name stands twice for certain; msgspec takes the last of several without a word.

    Written anew, `signal` has at most the quotes of `raw`: two for each name and each string, and those
    inside strings, which both write with a backslash unless the sender wrote \\u0022. So as many quotes mean
    that nothing was left out. Fewer mean a name that stands twice, or a default that the sender spelt out:
    the plain value, which keeps those, tells. Looking at all pairs would cost more than the decoding itself.
    """
    if _ESCAPED_QUOTE in raw:
        return False
    quotes = raw.count(b'"')
    return quotes == _encoder.encode(signal).count(b'"') or quotes == _encoder.encode(
        msgspec.json.decode(raw)
    ).count(b'"')
