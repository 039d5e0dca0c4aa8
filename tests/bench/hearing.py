"""What a feedback costs analytics in this process, with and without what its text says: CPU, no servers.

`python -m tests.bench.hearing`: the reference mix (workload.py), decided in batches as the service does, and
what a compaction makes of the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from ddsketch.mapping import LogarithmicMapping

from services.analytics.app import RELATIVE_ERROR
from services.analytics.domain import feedback
from services.analytics.domain.facts import Outcome
from services.analytics.domain.voice import Listen, listener
from services.analytics.store import voice
from services.analytics.store.documents import document
from services.analytics.store.facts import shares
from services.intake.api.signals import Arrival
from services.intake.domain.rows import read_row
from shared.events import FeedbackReceived
from tests.bench import workload
from tests.bench.parts import Parts
from tests.support.seals import SEALS

BATCH = 1000


def main(count: Annotated[int, typer.Option(min=BATCH, help="Feedback.")] = 4_000) -> None:
    """CPU microseconds per feedback, the least of five rounds."""
    parts = Parts(count)
    now, decode = datetime.now(UTC), msgspec.json.Decoder(FeedbackReceived).decode
    said = (read_row(one, now, "bench") for one in workload.signals(count, run="hearing"))
    arrival = Arrival("feedback", now, SEALS)
    written = [arrival.receive(one).record.value for one in said]
    sealed = parts.take("decode", lambda: [decode(one) for one in written])
    events = parts.take("open, keys known", lambda: [SEALS.opened(one) for one in sealed])
    batches = [events[start : start + BATCH] for start in range(0, count, BATCH)]
    listen = listener(ZoneInfo("Asia/Shanghai"))
    parts.take("hear what texts say", lambda: [listen(event) for event in events])
    parts.take("decide without texts", lambda: _decided(batches, None))
    outcomes = parts.take("decide", lambda: _decided(batches, listen))
    parts.take("documents", lambda: [[document(fact, SEALS) for facts in one.new.values() for fact in facts]
                               for one in outcomes])  # fmt: skip
    segments = parts.take("segments", lambda: [{"t": shares(one.rows)} for one in outcomes])
    parts.take("compact texts", lambda: voice.divided(voice.lines_of(segments)))
    parts.show()


def _decided(batches: Sequence[Sequence[FeedbackReceived]], listen: Listen | None) -> list[Outcome]:
    bin_of, known = LogarithmicMapping(RELATIVE_ERROR).key, feedback.Known({}, {})
    return [feedback.take(batch, known, bin_of, listen) for batch in batches]


if __name__ == "__main__":
    typer.run(main)
