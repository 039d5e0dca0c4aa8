"""The voice of the customer on real servers: what texts say, counted exactly whatever the history."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from services.analytics.app import build
from services.analytics.store import voice
from services.analytics.store.voice import EVERY, Cell, VoiceStore
from shared.events import Event
from tests.component.test_analytics_counts import Store
from tests.component.test_analytics_counts import store as store  # the fixture
from tests.support.analytics import NOON, case_changed
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.callers import Callers
from tests.support.figures import compacted, dropping, send, settings_for
from tests.support.servers import Servers
from tests.support.spine import eventually

WORDS = ("parcel", "late", "broken", "leak", "great", "box", "driver")
DAYS = [date(2019, 5, 13) + timedelta(days=n) for n in range(3)]
CATEGORIES, DEPARTMENTS = ("", "a/b", "logistics.late"), ("goods", "service")
Told = dict[int, tuple[int, list[str], str, str]]
"""By number: the day, the words, the category and the department that a text has in the end."""


def a_history(seed: int) -> tuple[list[Event], Told]:
    """Texts, some of which get a case that moves on, told twice and in any order."""
    draw = random.Random(seed)
    events: list[Event] = []
    told: Told = {}
    for n in range(60):
        day, own = draw.randrange(3), draw.choice(CATEGORIES)
        words = draw.sample(WORDS, draw.randrange(1, 5))
        text = " ".join(words)
        events.append(said((seed, n), at=NOON + timedelta(days=day), text=text, language="en", category=own))
        department, category = "", own
        for version in range(1, draw.randrange(1, 4)):
            department, case_category = draw.choice(DEPARTMENTS), draw.choice(CATEGORIES)
            category = own or case_category
            about: Any = {"department": department, "category": case_category}
            events.append(case_changed((seed, n), version, about=((seed, n),), **about))
        told[n] = day, words, category, department
    events += draw.sample(events, 40)
    draw.shuffle(events)
    return events, told


def naive(told: Told, days: list[date], category: str | None, departments: Any) -> Cell:
    cell = Cell()
    for day, words, own, department in told.values():
        if (
            DAYS[day] in days
            and category in (EVERY, own)
            and (departments is None or department in departments)
        ):
            cell.terms.update(words)
            cell.moods["n"] += 1
    return cell


@pytest.mark.parametrize("seed", range(6))
async def test_any_history_ends_in_what_a_plain_count_says(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    await store.empty()
    monkeypatch.setattr(voice, "CELLS_AT_ONCE", 4 if seed % 2 else 1500)
    events, told = a_history(seed)
    draw, reading = random.Random(seed), VoiceStore(store.database)
    for begin in range(0, len(events), 20):
        await store.hear(events[begin : begin + 20])
        if draw.random() < 0.4:
            await store.compactor.compact()
    for _ in range(2):
        for category, departments in product((EVERY, *CATEGORIES), (None, ("goods",), DEPARTMENTS, ())):
            spans = DAYS[:2], DAYS[2:]
            found = await reading.said(spans, ("en",), category, departments)
            for cell, days in zip(found, spans, strict=True):
                expected = naive(told, days, category, departments)
                assert {term: n for term, n in cell.terms.items() if n} == dict(expected.terms)
                assert (cell.n, cell.dropped) == (expected.moods["n"], 0)
        while await store.compactor.compact():
            pass
    assert await store.database.segments.count_documents({}) == 0


async def test_what_is_dropped_bounds_by_how_much_a_term_is_counted_short(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    monkeypatch.setattr(voice, "MOST_TERMS", 10)
    monkeypatch.setattr(voice, "KEPT_TERMS", 5)
    draw, true = random.Random(1), Counter[str]()
    for batch in range(12):
        events: list[Event] = []
        for n in range(40):
            word = f"word{chr(97 + min(25, int(draw.expovariate(0.2))))}"
            true[word] += 1
            events.append(said((batch, n), text=word, language="en"))
        await store.hear(events)
        await store.compactor.compact()
    (cell,) = await VoiceStore(store.database).said([DAYS], ("en",), None, None)
    assert cell.n == 480 and cell.dropped > 0 and len(cell.terms) <= 10
    for word, count in true.items():
        assert cell.terms[word] <= count <= cell.terms[word] + cell.dropped


TAG = f"t.{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Callers:
    return Callers(tmp_path_factory.mktemp("callers"), [TAG])


@pytest.fixture(scope="module")
async def analytics(servers: Servers, callers: Callers) -> AsyncIterator[Running]:
    async with dropping(servers) as prefix:
        settings = settings_for(servers, prefix, reporting_zone="Asia/Shanghai")
        async with running_app(build(settings.model_copy(update=callers.settings))) as running:
            running.http.headers.update(callers.unbound)
            await send(running, *told())
            yield running


def told() -> list[Event]:
    """Leaks of one department in the week of 2019-05-13, of another one before, in two languages."""
    events: list[Event] = []
    for n in range(20):
        texts = [("水管漏水，非常不满意", "zh", 0, TAG), ("parcel arrived, great", "en", 0, "elsewhere"),
                 ("包裹收到，满意", "zh", -10, "elsewhere")]  # fmt: skip
        for text, language, days, department in texts:
            name = (TAG, text, n)
            at = NOON + timedelta(days=days)
            events.append(said(name, at=at, text=text, language=language, source=TAG))
            events.append(case_changed(name, about=(name,), department=department, category=f"{TAG}.c"))
    return events


async def ask(analytics: Running, n: int, headers: Any = None, **given: Any) -> Any:
    asked = {"week": "2019-05-15", "category": f"{TAG}.c"} | given

    async def there() -> Any:
        answer = await analytics.http.get("/v1/voice", params=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.json()["n"] == n else None

    return await eventually(there, what=f"{n} texts")


async def test_a_week_says_what_is_said_most_what_is_new_and_in_which_mood(analytics: Running) -> None:
    for _ in range(2):
        chinese = await ask(analytics, 20, lang="zh")
        assert chinese["week"] == {"start": "2019-05-12T16:00:00Z", "end": "2019-05-19T16:00:00Z"}
        shown = [(one["term"], one["n"], one["share"]) for one in chinese["terms"]]
        assert shown == [("水管", 20, 1.0), ("满意", 20, 1.0), ("漏水", 20, 1.0)]
        assert {one["term"] for one in chinese["rising"]} == {"水管", "漏水"}
        assert chinese["rising"][0]["share_before"] == 0.0
        assert chinese["sentiment"] == {
            "positive": {"n": 0, "share": 0.0}, "neutral": {"n": 0, "share": 0.0},
            "negative": {"n": 20, "share": 1.0},
        }  # fmt: skip
        both = await ask(analytics, 40)
        assert {one["term"] for one in both["terms"]} > {"parcel", "漏水"}
        before = await ask(analytics, 20, week="2019-05-03")
        assert before["rising"] == [] and before["undercount"] == 0
        nothing = await ask(analytics, 0, week="2019-01-01")
        assert nothing["sentiment"]["positive"] == {"n": 0, "share": None} and nothing["terms"] == []
        await compacted(analytics)


async def test_who_sees_some_departments_hears_what_is_said_about_these(
    analytics: Running, callers: Callers
) -> None:
    await ask(analytics, 40)
    mine = await ask(analytics, 20, callers["supervisor"])
    assert {one["term"] for one in mine["terms"]} == {"水管", "满意", "漏水"}
    await ask(analytics, 0, callers["supervisor"], department="elsewhere")
    await ask(analytics, 20, callers["auditor"], department="elsewhere")


@pytest.mark.parametrize(
    ("given", "pointer", "allowed"),
    [
        ({"week": "2019-W20-x"}, "?week", "2026-03-02"),
        ({"week": "9999-01-01"}, "?week", "1900 to 2199"),
        ({"lang": "fr"}, "?lang", "'en' or 'zh'"),
        ({"limit": 101}, "?limit", "100"),
        ({"by": "category"}, "?by", "week, lang, category"),
    ],
)
async def test_what_does_not_fit_is_refused_with_what_is_allowed(
    analytics: Running, given: dict[str, Any], pointer: str, allowed: str
) -> None:
    answer = await analytics.http.get("/v1/voice", params=given)
    assert answer.status_code == 422
    fault = answer.json()["errors"][0]
    assert fault["pointer"] == pointer
    assert allowed in fault["message"] or allowed == str(fault.get("limit"))


async def test_nothing_of_a_text_but_its_terms_is_kept(analytics: Running) -> None:
    await ask(analytics, 40)
    for name in await analytics.service.database.list_collection_names():
        async for document in analytics.service.database[name].find():
            assert "非常不满意" not in str(document) and "arrived, great" not in str(document)
