"""`python -m tests.bench.calendar`: what a question to a warm calendar costs, in microseconds of CPU.

An office with two intervals a day and China's holidays; questions all over ten years. The best of many rounds
is given, since neighbours only ever add to it.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shared.calendar import Calendar

QUESTIONS, ROUNDS = 2_000, 30
WANTED_US = 5.0


def main() -> None:
    calendar = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-12:00", "13:00-18:00"]}, ["CN"])
    chance = random.Random(1)
    began = time.process_time()
    starts = [
        datetime(2018, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10 * 366 * 86_400))
        for _ in range(QUESTIONS)
    ]
    spans = [chance.randrange(10 * 8 * 3600) for _ in starts]
    ends = [calendar.due(start, seconds) for start, seconds in zip(starts, spans, strict=True)]
    print(f"ten years laid out in {1000 * (time.process_time() - began):.0f} ms")
    questions: dict[str, Callable[[], object]] = {
        "due": lambda: [calendar.due(start, span) for start, span in zip(starts, spans, strict=True)],
        "elapsed": lambda: [calendar.elapsed(start, end) for start, end in zip(starts, ends, strict=True)],
        "next_working": lambda: [calendar.next_working(start) for start in starts],
    }
    for name, ask in questions.items():
        best = min(_seconds(ask) for _ in range(ROUNDS))
        print(f"{name}: {1e6 * best / QUESTIONS:.2f} us (wanted: at most {WANTED_US:g})")


def _seconds(ask: Callable[[], object]) -> float:
    began = time.process_time()
    ask()
    return time.process_time() - began


if __name__ == "__main__":
    main()
