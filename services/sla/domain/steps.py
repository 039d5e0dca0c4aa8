"""The steps of a promise beside those that have fired, perhaps by another promise (docs/domain.md 3.11).

A case may come under another `sla` entry, where the same number is another step. So a step has fired where
one of the same deed has: of several with one deed, the earliest as many as have fired. And what has not fired
takes no number that was said, since the id of an event is made of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count

from msgspec.structs import replace

from services.sla.domain.clock import ClockStep


def beside_fired(planned: Sequence[ClockStep], fired: Sequence[ClockStep]) -> list[ClockStep]:
    """What is planned, in its order, what has fired as it fired; then what fired and is promised no more."""
    same = _same(planned, fired)
    others = _numbered_anew([step for step in planned if step.key not in same], planned, fired)
    steps = [same[step.key] if step.key in same else next(others) for step in planned]
    stayed = {step.key for step in same.values()}
    return [*steps, *(step for step in fired if step.key not in stayed)]


def _same(planned: Sequence[ClockStep], fired: Sequence[ClockStep]) -> dict[tuple[int, int], ClockStep]:
    """By key of what is planned. Equal deeds in order of their time: those that come first fire first."""
    done: defaultdict[tuple[str, str, int], list[ClockStep]] = defaultdict(list)
    for step in sorted(fired, key=_by_time, reverse=True):
        done[step.deed].append(step)
    return {step.key: done[step.deed].pop() for step in sorted(planned, key=_by_time) if done[step.deed]}


def _numbered_anew(
    waiting: Sequence[ClockStep], planned: Sequence[ClockStep], fired: Sequence[ClockStep]
) -> Iterator[ClockStep]:
    """A step keeps its number with all its repetitions, or takes with them one that nothing else has."""
    said = {step.key for step in fired}
    taken = {step.step for step in (*planned, *fired)}
    free = (number for number in count() if number not in taken)
    anew = {number: next(free) for number in sorted({step.step for step in waiting if step.key in said})}
    for step in waiting:
        yield replace(step, step=anew[step.step]) if step.step in anew else step


def _by_time(step: ClockStep) -> tuple[int, int]:
    return step.seconds, step.step
