"""The JSON Schema of policy files, for editors: `python -m shared.policy.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from shared.policy.models import PolicyDocument

SCHEMA_FILE = Path(__file__).parent.parent / "contracts" / "policy.schema.json"


def policy_schema() -> str:
    """The schema as it is committed. No section is demanded: a file may hold a part of the policy."""
    schema = PolicyDocument.model_json_schema()
    schema.pop("required")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "CQM policy"}
    return json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(policy_schema(), encoding="utf-8")
