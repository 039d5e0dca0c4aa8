"""Both shipped forms in a real browser: zh and en, with and without JavaScript, by keyboard, in a frame."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page

from services.intake.app import build
from services.intake.settings import IntakeSettings
from shared import ids, topics
from shared.clock import FixedClock, SystemClock
from shared.codec import decode
from shared.sealing import Seals
from tests.component.test_intake import records_after
from tests.support.browser import Watched, chromium, elsewhere, served, started
from tests.support.forms import SHIPPED
from tests.support.injections import INJECTIONS
from tests.support.servers import Servers

LOCALES = {"zh": "zh-CN", "en": "en-GB"}
PHONE = {"width": 360, "height": 740}
SMALLEST = {"width": 320, "height": 568}
THANKS = {"zh": "受理编号", "en": "reference number"}
SEND = {
    "complaint": {"zh": "提交投诉", "en": "Send the complaint"},
    "satisfaction": {"zh": "提交", "en": "Send"},
}
LATE = {"zh": "没有按时送达", "en": "It did not arrive on time"}
PROMISED = {"zh": "承诺的送达日期", "en": "When was it promised for?"}
PRIVATE = """title: Private
thanks: Thank you
set: {kind: praise}
embed: [https://shop.example.org]
fields: {text: {type: text, lines: many, label: Text}}
"""
CONSENT = {"zh": "我同意", "en": "You may use"}


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = chromium()
    if executable is None:
        pytest.skip("no chromium here: apt-get install --no-install-recommends chromium")
    async with started(executable) as running:
        yield running


@dataclass
class Site:
    """Intake behind an address, with a clock that is moved past the time that programs do not wait."""

    address: str
    browser: Browser
    clock: FixedClock
    seals: Seals

    @asynccontextmanager
    async def page(self, lang: str = "en", *, script: bool = True, also: str = "") -> AsyncIterator[Watched]:
        """A page of a phone whose owner reads `lang`; at the end it has done nothing that it must not."""
        context = await self.browser.new_context(
            locale=LOCALES[lang], java_script_enabled=script, viewport=PHONE, service_workers="block"
        )
        origins = (f"{self.address}/", *((also,) if also else ()))
        watched = Watched(await context.new_page(), origins).watch()
        try:
            yield watched
            watched.well()
        finally:
            await context.close()

    async def open(self, page: Page, form: str) -> None:
        await page.goto(f"{self.address}/forms/{form}")
        self.clock.advance(20)


@pytest.fixture
async def site(servers: Servers, prefix: str, browser: Browser, tmp_path: Path) -> AsyncIterator[Site]:
    forms = shutil.copytree(SHIPPED, tmp_path / "forms")
    (forms / "private.yaml").write_text(PRIVATE)
    clock = FixedClock(SystemClock().now())
    settings = IntakeSettings(
        kafka=servers.kafka,
        mongo=servers.mongo,
        log="text",
        secret="a secret of these tests",
        form_posts=10_000,
    )
    app = build(settings, clock)
    async with served(app) as address:
        yield Site(address, browser, clock, app.state.service.seals)


def feedback(servers: Servers) -> AbstractAsyncContextManager[Any]:
    return records_after(servers, topics.FEEDBACK.name)


async def told(page: Page, lang: str) -> str:
    """The reference on the page of thanks."""
    await page.get_by_text(THANKS[lang]).wait_for()
    return await page.locator(".reference").inner_text()


def events(records: list[Any]) -> dict[Any, Any]:
    return {event.id: event for event in (decode(record.value, record.headers)[0] for record in records)}


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_a_complaint_is_sent_and_the_reference_is_told(
    site: Site, servers: Servers, lang: str, script: bool
) -> None:
    mark = uuid4().hex
    async with (
        feedback(servers) as read,
        site.page(lang, script=script) as watched,
    ):
        page = watched.page
        await site.open(page, "complaint")
        await page.get_by_label(LATE[lang]).check()
        if not script:  # the question that depends on it comes with the second page
            await page.get_by_role("button", name=SEND["complaint"][lang]).click()
        await page.get_by_label(PROMISED[lang]).fill("2026-03-01")
        await page.locator("[name=text]").fill("箱子压坏了")
        await page.locator("[name=order]").fill(mark)
        await page.locator("[name=email]").fill("li@example.org")
        await page.get_by_label(CONSENT[lang]).check()
        await page.get_by_role("button", name=SEND["complaint"][lang]).dblclick()
        reference = await told(page, lang)
        assert await page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[lang]
        await page.reload()
        assert await told(page, lang) == reference
        event = site.seals.opened(next(iter(events(await read(mark, 1)).values())))
    assert ids.reference(event.id) == reference and event.text == "箱子压坏了"
    assert event.attributes == {"happened": "late", "promised": "2026-03-01", "consent": True}
    assert event.customer.personal.email == "li@example.org"


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_a_survey_is_sent_and_the_reference_is_told(
    site: Site, servers: Servers, lang: str, script: bool
) -> None:
    mark = uuid4().hex
    async with (
        feedback(servers) as read,
        site.page(lang, script=script) as watched,
    ):
        page = watched.page
        await site.open(page, "satisfaction")
        groups = page.get_by_role("group")
        await groups.nth(0).get_by_label("9", exact=True).check()
        await groups.nth(1).get_by_label("4", exact=True).check()
        await page.locator("textarea").fill(mark)
        await page.get_by_role("button", name=SEND["satisfaction"][lang]).click()
        reference = await told(page, lang)
        event = next(iter(events(await read(mark, 1)).values()))
    assert ids.reference(event.id) == reference
    assert (event.rating.metric, event.rating.score) == ("nps", 9)


async def tab_to(page: Page, selector: str) -> None:
    """By the Tab key alone, as somebody without a mouse goes."""
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"the Tab key never comes to {selector}")


async def test_a_complaint_can_be_made_by_keyboard_alone(site: Site, servers: Servers) -> None:
    mark = uuid4().hex
    async with feedback(servers) as read, site.page() as watched:
        page = watched.page
        await site.open(page, "complaint")
        await tab_to(page, "button")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").wait_for()
        assert await page.evaluate("document.activeElement.className") == "summary"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")  # the first link of the summary leads to the first question
        await tab_to(page, "[name=happened]")
        await page.keyboard.press("ArrowDown")
        assert await page.locator("[name=happened]:checked").get_attribute("value") == "late"
        await tab_to(page, "[name=promised]")
        await tab_to(page, "[name=text]")
        await page.keyboard.type(f"{mark} was late")
        await tab_to(page, "[name=consent]")
        await page.keyboard.press("Space")
        await tab_to(page, "button")
        await page.keyboard.press("Enter")
        await told(page, "en")
        assert len(events(await read(mark, 1))) == 1


async def test_a_survey_can_be_answered_by_keyboard_alone(site: Site, servers: Servers) -> None:
    mark = uuid4().hex
    async with feedback(servers) as read, site.page("zh") as watched:
        page = watched.page
        await site.open(page, "satisfaction")
        await tab_to(page, "[name=recommend]")
        await page.keyboard.press("Space")
        for _ in range(3):
            await page.keyboard.press("ArrowRight")
        await tab_to(page, "[name=satisfied]")
        await page.keyboard.press("Space")
        await tab_to(page, "[name=text]")
        await page.keyboard.type(mark)
        await tab_to(page, "button")
        await page.keyboard.press("Enter")
        await told(page, "zh")
        event = next(iter(events(await read(mark, 1)).values()))
    assert event.rating.score == 3


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_axe_finds_nothing_on_any_page(site: Site, lang: str) -> None:
    async with site.page(lang) as watched:
        page = watched.page
        for form, send in SEND.items():
            await site.open(page, form)
            await watched.accessible()
            await page.get_by_role("button", name=send[lang]).click()
            await page.get_by_role("alert").wait_for()
            await watched.accessible()
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size(SMALLEST)
        await watched.accessible()
        await page.get_by_label("10").check()
        await page.locator("textarea").fill("ok")
        await page.get_by_role("button", name=SEND["satisfaction"][lang]).click()
        await told(page, lang)
        await watched.accessible()
        await page.goto(f"{site.address}/forms/nothing")
        await watched.accessible()


async def test_a_question_comes_and_goes_with_the_answer_that_it_depends_on(site: Site) -> None:
    async with site.page() as watched:
        page = watched.page
        await site.open(page, "complaint")
        promised = page.get_by_label(PROMISED["en"])
        assert not await promised.is_visible()
        await page.get_by_label(LATE["en"]).check()
        assert await promised.is_visible()
        await page.get_by_label("Something else", exact=True).check()
        assert not await promised.is_visible()


async def test_no_string_becomes_script(site: Site) -> None:
    fields = ("text", "order", "product", "email", "phone")
    async with site.page() as watched:
        page = watched.page
        await site.open(page, "complaint")
        for text in INJECTIONS:
            for name in fields:
                await page.locator(f"[name={name}]").fill(text)
            await page.get_by_role("button").click()
            await page.get_by_role("alert").wait_for()
            typed = [await page.locator(f"[name={name}]").input_value() for name in fields]
            assert typed == [text[:64] if name == "phone" else text for name in fields]


async def test_a_form_works_in_a_frame_of_another_site_and_gives_it_its_height(
    site: Site, servers: Servers
) -> None:
    mark, script = uuid4().hex, f"{site.address}/forms/satisfaction/embed.js"
    async with (
        feedback(servers) as read,
        elsewhere(f"<script src='{script}' data-lang=zh></script>") as shop,
        site.page(also=shop) as watched,
    ):
        page = watched.page
        await page.goto(shop)
        frame = page.frame_locator("iframe[title=满意度调查]")
        await frame.get_by_role("button", name="提交").wait_for()
        site.clock.advance(20)
        height = "Number(document.querySelector('iframe').height)"
        await page.wait_for_function(f"{height} !== 600")
        before = await page.evaluate(height)
        await frame.get_by_role("button").click()
        await page.wait_for_function(f"{height} > {before}")  # the summary of errors
        await frame.get_by_label("10").check()
        await frame.locator("textarea").fill(mark)
        await frame.get_by_role("button").click()
        await frame.get_by_text("受理编号").wait_for()
        assert len(events(await read(mark, 1))) == 1


async def test_a_form_is_shown_in_no_frame_of_a_site_that_it_does_not_name(site: Site) -> None:
    """Chromium tells the refusal on the console, and shows an empty page of its own."""
    html = f"<iframe src='{site.address}/forms/private'></iframe>"
    async with elsewhere(html) as shop, site.page(also=shop) as watched:
        async with watched.page.expect_console_message(lambda m: "frame-ancestors" in m.text):
            await watched.page.goto(shop)
        assert watched.complaints.pop()


async def test_a_post_from_another_site_is_refused(site: Site) -> None:
    action = f"{site.address}/forms/complaint?lang=en"
    html = f"<form method=post action='{action}'><input name=text value=x><button>Win</button></form>"
    async with elsewhere(html) as shop, site.page(also=shop) as watched:
        page = watched.page
        await page.goto(shop)
        async with page.expect_response(action) as answer:
            await page.get_by_role("button").click()
        assert (await answer.value).status == 403
        await page.get_by_text("Forms are sent from their own page only.").wait_for()
