"""What is written by hand is what the driver would have written."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

import bson
from bson import CodecOptions
from bson.binary import UuidRepresentation
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.changes import Outcome, State
from services.routing.store.documents import document_of
from services.routing.store.raw_bson import outcome_document, with_ids

OPTIONS = CodecOptions[dict[str, object]](uuid_representation=UuidRepresentation.STANDARD)
outcomes = st.builds(
    Outcome, st.uuids(), st.sampled_from(get_args(State)), st.text(), st.none() | st.uuids()
)  # fmt: skip


@given(outcomes)
def test_an_outcome(outcome: Outcome) -> None:
    document = document_of(outcome)
    by_driver = bson.decode(bson.encode(document, codec_options=OPTIONS), OPTIONS)
    assert bson.decode(outcome_document(outcome).raw, OPTIONS) == by_driver


@given(st.lists(st.uuids(), max_size=120))
def test_a_question_for_ids(ids: list[UUID]) -> None:
    assert with_ids(ids).raw == bson.encode({"_id": {"$in": ids}}, codec_options=OPTIONS)
