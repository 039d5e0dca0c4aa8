"""What is written down of the contracts, all made from shared/events.py and shared/topics.py.

    <type>.schema.json     JSON Schema of an event's value         json_schema.py
    asyncapi.yaml          AsyncAPI 3.0: topics, messages, groups  asyncapi.py
    docs/topics.md         the topics for people                   topic_table.py
    released/<version>/    the schemas as they were released       evolution.py compares with them

`python -m shared.contracts` writes them anew (README.md here says how contracts may change).
"""

from shared.contracts.documents import RELEASED, documents, last_released, release, write
from shared.contracts.evolution import CONSUMERS_FIRST, Break, breaks, breaks_of_all

__all__ = [
    "CONSUMERS_FIRST",
    "RELEASED",
    "Break",
    "breaks",
    "breaks_of_all",
    "documents",
    "last_released",
    "release",
    "write",
]
