"""The tallies: what is counted, by which dimensions. The columns of everything that is stored packed.

A tally's rows come from one collection of facts; KPIs (catalogue.py) are made of their counters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FEEDBACK_FACTS, ACTIVITY_FACTS = "feedback_facts", "activity_facts"
CASE_FACTS, TARGET_FACTS, JOINT_FACTS = "case_facts", "target_facts", "joint_facts"
COLLECTIONS = (FEEDBACK_FACTS, ACTIVITY_FACTS, CASE_FACTS, TARGET_FACTS, JOINT_FACTS)

EVERYTHING = (
    "channel", "kind", "category", "product_model", "product_batch", "sku", "department", "owner", "region",
    "tier", "supplier", "priority", "severity", "touchpoint", "language", "source",
)  # fmt: skip
"""Dimensions of feedback, cases and their promises."""
BUSINESS = ("product_model", "product_batch", "sku", "region", "tier", "supplier", "source")
"""Dimensions of activities, and of what is counted by them."""
PAIRS = (
    ("category", "department"),
    ("category", "product_model"),
    ("channel", "kind"),
    ("department", "priority"),
    ("category", "supplier"),
    ("department", "owner"),
)
"""Two dimensions at once that are kept ready; each in the order of the alphabet. Whoever sees
only some departments asks by owner within them."""
TARGETS = ("first_response", "update", "resolution")
"""What is promised to customers."""
OLA = "ola"
"""What departments owe each other: no promise to a customer, so it is asked for by name."""
SCALES = ("1-7", "1-5", "1-10", "0-10")
"""Scales of customer effort that are counted, each by itself."""


@dataclass(frozen=True, slots=True)
class Tally:
    """`counters` and `spans` name its columns of numbers; a span is seconds, with a bin for percentiles."""

    name: str
    collections: tuple[str, ...]
    dimensions: tuple[str, ...]
    counters: tuple[str, ...]
    spans: tuple[str, ...] = ()

    @property
    def rollups(self) -> tuple[tuple[str, ...], ...]:
        """By what it is kept ready: nothing, each dimension, and those pairs that it has both of."""
        singles = tuple((name,) for name in self.dimensions)
        return ((), *singles, *(pair for pair in PAIRS if set(pair) <= set(self.dimensions)))


def _tallies() -> Iterable[Tally]:
    yield Tally(
        "feedback",
        (FEEDBACK_FACTS,),
        EVERYTHING,
        ("n", "complaints", "defects", "nps", "promoters", "detractors", "csat", "satisfied", "handled"),
        ("handling",),
    )
    for scale in SCALES:
        yield Tally(f"ces_{scale}", (FEEDBACK_FACTS,), EVERYTHING, ("n", "thousandths", "easy"))
    yield Tally("opened", (CASE_FACTS,), EVERYTHING, ("n", "open", "paused", "escalated", "transferred"))
    yield Tally("resolved", (CASE_FACTS,), EVERYTHING, ("n", "reopened"))
    yield Tally("closed", (CASE_FACTS,), EVERYTHING, ("n", "rated", "satisfied"))
    yield Tally("first_contact", (JOINT_FACTS, CASE_FACTS), EVERYTHING, ("n", "first"))
    for target in (*TARGETS, OLA):
        yield Tally(f"judged_{target}", (TARGET_FACTS,), EVERYTHING, ("met", "breached"))
    for name in ("answered", "finished"):
        yield Tally(name, (TARGET_FACTS,), EVERYTHING, ("n",), ("business", "wall"))
    yield Tally("orders", (JOINT_FACTS, FEEDBACK_FACTS), BUSINESS, ("n", "complaints"))
    yield Tally("units", (JOINT_FACTS,), BUSINESS, ("shipped", "returned", "repaired"))
    yield Tally("buyers", (JOINT_FACTS,), BUSINESS, ("n", "again"))
    yield Tally("customers", (JOINT_FACTS,), BUSINESS, ("joined", "lost"))
    yield Tally("surveys", (JOINT_FACTS,), BUSINESS, ("sent", "answered"))


MOODS = ("positive", "neutral", "negative")
VOICE = Tally(
    "voice", (FEEDBACK_FACTS,), ("day", "language", "category", "department", "terms"), ("n", *MOODS)
)
"""What texts say: one line per text, with all its terms as one label. Kept by itself (store/voice.py), since
it is no figure by time of day and its words are too many for the lists of values."""
TALLIES: dict[str, Tally] = {tally.name: tally for tally in _tallies()}
