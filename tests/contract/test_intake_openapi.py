"""OpenAPI comes from the structs that read the bodies: the schema and the reading agree."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from services.intake.api.signals import ACTIVITY, FEEDBACK
from services.intake.app import build
from services.intake.domain.cloudevents import KINDS, enclosed, structured
from services.intake.domain.inputs import Refused
from services.intake.settings import IntakeSettings

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    described: dict[str, Any] = build(IntakeSettings(log="text")).openapi()["paths"]
    return described


def schema_of(paths: dict[str, Any], path: str, media_type: str = "application/json") -> Any:
    return paths[path]["post"]["requestBody"]["content"][media_type]["schema"]


@pytest.mark.parametrize("signal", [FEEDBACK, ACTIVITY], ids=lambda signal: signal.name)
def test_the_example_fits_its_schema_and_is_taken(paths: dict[str, Any], signal: Any) -> None:
    schema = schema_of(paths, f"/v1/{signal.name}")
    jsonschema.Draft202012Validator.check_schema(schema)
    for example in schema["examples"]:
        jsonschema.validate(example, schema)
        assert signal.form.read(json.dumps(example).encode(), NOW)


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "x", "text": "x"},
        {"kind": "call", "text": 1},
        {"kind": "call", "text": "x", "owner": "x"},
        {"kind": "call", "text": "x" * 20_001},
        {"kind": "call", "text": "x", "attributes": {"a.b": 1}},
        {"kind": "call", "text": "x", "customer": {"vip": 1}},
    ],
    ids=str,
)
def test_what_the_schema_refuses_the_reading_refuses(paths: dict[str, Any], said: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, schema_of(paths, "/v1/feedback"))
    with pytest.raises(Refused):
        FEEDBACK.form.read(json.dumps(said).encode(), NOW)


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/feedback/batch", "/v1/activity", "/v1/activity/batch"])
def test_every_call_tells_its_body_and_its_answers(paths: dict[str, Any], path: str) -> None:
    operation = paths[path]["post"]
    wanted = {"202", "400", "401", "403", "408", "413", "415", "422", "429", "503"}
    assert set(operation["responses"]) == wanted | ({"207"} if "batch" in path else set())
    assert "$ref" not in json.dumps(operation["requestBody"])
    if "batch" in path:
        assert schema_of(paths, path)["items"] and schema_of(paths, path, "application/x-ndjson")
        assert {parameter["name"] for parameter in operation["parameters"]} == {"items", "Idempotency-Key"}


def test_the_event_of_the_schema_is_taken_in_each_format(paths: dict[str, Any]) -> None:
    event = schema_of(paths, "/v1/events", "application/cloudevents+json")
    batch = schema_of(paths, "/v1/events", "application/cloudevents-batch+json")
    for schema in (event, batch):
        jsonschema.Draft202012Validator.check_schema(schema)
    for example in event["examples"]:
        jsonschema.validate(example, event)
        jsonschema.validate([example], batch)
        jsonschema.validate(example["data"], schema_of(paths, "/v1/events"))
        read = enclosed(structured(json.dumps(example).encode()))
        assert FEEDBACK.form.read(read.body, NOW)
    headers = {one["name"] for one in paths["/v1/events"]["post"]["parameters"] if one["in"] == "header"}
    assert headers == {f"ce-{name}" for name in KINDS if name != "datacontenttype"}
