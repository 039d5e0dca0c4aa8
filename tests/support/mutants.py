"""What the oracle has to catch: services with one promise taken out of their source, by name.

Where a promise is kept by two lines, one behind the other, the mutant lacks both.
"""

from __future__ import annotations

from tests.support.variants import Patch

_SPINE, _MONGO, _CLOCKS = "shared/exactly_once.py", "shared/mongo.py", "services/sla/store/clocks.py"
_SWEEP, _RAISED = "services/sla/sweep.py", "            roster = self.roster\n"
_MAJORITY = 'write_concern=WriteConcern("majority"),\n            read_'
_FENCE = "await self._fence(spans, pending, {})"
_LETTER = "                    letters.append(self._letter(record, error, attempts=1))\n"

ACKNOWLEDGES_FIRST = (
    Patch(
        "services/intake/api/outlet.py",
        "await one.acknowledged\n",
        "one.acknowledged.add_done_callback(lambda done: done.exception())\n",
    ),
)
WRITES_WITH_W1 = (
    Patch(_MONGO, f'{_MAJORITY}concern=ReadConcern("majority")', "write_concern=WriteConcern(1)"),
    Patch(_MONGO, f"{_MAJORITY}preference", "write_concern=WriteConcern(1), read_preference"),
)
NO_OUTBOX = (Patch(_SPINE, '"pending": _pack(pending[partition])', '"pending": None'),)
AT_MOST_ONCE = (Patch(_SPINE, _FENCE.format("session"), _FENCE.format("None")),)
SWALLOWS_DEAD_LETTERS = (Patch("shared/processing.py", _LETTER, ""),)
NO_FENCE = (Patch(_SPINE, ', "epoch": held.epoch, "next": held.next}', "}"),)
NO_VERSION = (
    *NO_FENCE,
    Patch(_CLOCKS, '{"version": version, "_id": {"$in": ids}}', '{"_id": {"$in": ids}}'),
    Patch(_CLOCKS, "result.deleted_count != len(clocks)", "False"),
)
FREEZES = (
    Patch("shared/crash.py", "_left <= 0", "_left == 0"),
    Patch("shared/crash.py", "os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGSTOP)"),
)
"""At its crash point the process stands still instead of dying: a zombie with a decision in its hand. It does
so once: the transaction that it wakes in was ended by the server and is run again, past the same point."""
TAKES_A_STEP = (
    Patch(
        _SWEEP,
        _RAISED,
        f'            if changes.raised:\n                crash_point("sla", "takes_a_step")\n{_RAISED}',
    ),
    Patch(_SWEEP, "from shared.errors", "from shared.crash import crash_point\nfrom shared.errors"),
)
"""A crash point that is passed only with an escalation in hand."""
ALL = {
    "acknowledges first": ACKNOWLEDGES_FIRST,
    "writes with w:1": WRITES_WITH_W1,
    "no outbox": NO_OUTBOX,
    "at most once": AT_MOST_ONCE,
    "swallows dead letters": SWALLOWS_DEAD_LETTERS,
    "no fence, and freezes": (*NO_FENCE, *FREEZES),
    "no version, freezes and takes a step": (*NO_VERSION, *FREEZES, *TAKES_A_STEP),
}
