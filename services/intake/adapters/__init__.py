"""Adapters: how the payload of a foreign system becomes feedback or activity, as data.

`spec` is the vocabulary, `paths` the JSON paths, `adapter` the mapping of a payload, `load` reads the files
(deploy/adapters/*.yaml) and the secrets that they name. docs/webhooks.md is the guide for authors.
"""

from services.intake.adapters.adapter import MAX_SIGNALS, Adapter, Mapped
from services.intake.adapters.load import Entrance, load_adapters

__all__ = ["MAX_SIGNALS", "Adapter", "Entrance", "Mapped", "load_adapters"]
