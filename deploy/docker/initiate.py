"""Makes a fresh mongod the primary of a replica set of one, for transactions need a replica set.

Harmless when it is that already.

Arguments: host:port as every client, and mongod itself, reaches it; name of the replica set.
"""

from __future__ import annotations

import sys
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

ALREADY_INITIALIZED = 23

member, name = sys.argv[1:]
with MongoClient[dict[str, Any]](member, directConnection=True) as mongod:
    try:
        mongod.admin.command("replSetInitiate", {"_id": name, "members": [{"_id": 0, "host": member}]})
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise
# The driver waits until the set has elected a primary.
with MongoClient[dict[str, Any]](member, replicaSet=name, serverSelectionTimeoutMS=60_000) as replica_set:
    print("primary:", replica_set.admin.command("hello")["primary"])
