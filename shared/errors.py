"""What can go wrong, and who acts on it.

CQMError
├── PermanentError      never retried: the record goes to the dead letters with its reason
│   ├── ConflictError   the same identity with another content (docs/promises.md P3)
│   └── LaterVersion    an event type of ours that this version does not know (docs/promises.md P15)
├── TransientError      tried again with backoff; the record is not to blame
│   ├── TooSlow         the transaction outlived the server's limit: smaller ones will not
│   ├── Unavailable     Kafka or MongoDB is away: wait, stay unready, resume alone
│   └── Fenced          another replica owns the partition now: drop the work, it is done there
└── SetupError          the operator has to act: the sentence says what to do

Anything that is not a CQMError is a bug: the partition stops loudly and nothing is skipped.
"""

from __future__ import annotations

from typing import ClassVar


class CQMError(Exception):
    """Base of every error that CQM raises on purpose."""


class PermanentError(CQMError):
    """A record that can never succeed.

    `reason` is a short, stable word for metrics and dead letters (`not_json`, `unknown_type`, ...);
    `detail` says in a sentence which field and which limit, never the value. `alone`: it says nothing against
    the records beside it, nor against this version, so it does not count among the dead letters in a row
    (docs/promises.md P10).
    """

    alone: ClassVar[bool] = False

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ConflictError(PermanentError):
    """The same (source, external_id) arrived with another content: never a silent overwrite (promise P3).

    A sender may say many such in a row, who sends an old file again with other words in it.
    """

    alone = True

    def __init__(self, detail: str) -> None:
        super().__init__("conflict", detail)


class LaterVersion(PermanentError):
    """An event that a newer replica has said: kept among the dead letters for a version that knows it."""

    alone = True

    def __init__(self) -> None:
        super().__init__("unknown_type", "header ce_type names an event type of a later version")


class TransientError(CQMError):
    """It may work later; try again with backoff."""


class Unavailable(TransientError):
    """Kafka or MongoDB did not answer within its deadline. What was sent may still be stored."""


class TooSlow(TransientError):
    """MongoDB ended the transaction for its age (transactionLifetimeLimitSeconds); nothing was done."""


class Fenced(TransientError):
    """The fence found another epoch: this replica's late write was refused."""


class SetupError(CQMError):
    """Configuration or surroundings are wrong; the message tells the operator the remedy."""
