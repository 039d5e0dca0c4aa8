"""A case that changes is taken out and put in again: of two transactions that read it, one wins."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from pymongo.errors import OperationFailure

from services.routing.domain.changes import Changes
from services.routing.store import CaseStore
from shared.mongo import Mongo
from tests.support import archive
from tests.support.servers import Servers


async def test_of_two_transactions_that_read_one_case_the_second_to_write_runs_again(
    servers: Servers, prefix: str
) -> None:
    mongo = Mongo(servers.mongo)
    database = mongo.database(f"{prefix}_routing")
    store = CaseStore(database)
    await store.prepare()
    case = next(iter(archive.cases(1)))
    await database.cases.insert_one(archive.document(case))
    async with mongo.session() as late, mongo.session() as early:
        late.start_transaction()
        seen = (await store.files([case.id], late))[case.id]
        early.start_transaction()
        file = (await store.files([case.id], early))[case.id]
        newer = replace(file, case=replace(file.case, version=file.case.version + 1))
        await store.save(Changes(files={case.id: newer}, before={case.id: file.case.version}), early)
        await early.commit_transaction()
        stale = replace(seen, case=replace(seen.case, version=seen.case.version + 7))
        with pytest.raises(OperationFailure) as refused:
            await store.save(Changes(files={case.id: stale}, before={case.id: seen.case.version}), late)
        assert refused.value.has_error_label("TransientTransactionError")
    found = await store.find(str(case.id))
    assert found is not None and found.case.version == newer.case.version
    mongo.close()
