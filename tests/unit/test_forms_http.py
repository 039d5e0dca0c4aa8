"""Pages of forms over HTTP, without Kafka: what is shown, who may post, what is taken, what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import pytest
import segno

from services.intake.api.form_entry import MAX_BODY, MAX_FIELDS
from services.intake.api.form_words import LANGUAGES, choose_language
from shared import ids
from shared.clock import FixedClock
from shared.errors import Unavailable
from shared.forms import Link, PageToken, Signer
from tests.support.forms import Desk, Page, desk, forms_in
from tests.support.injections import INJECTIONS

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
COMPLAINT = {"happened": "late", "text": "It came a week late.", "consent": "yes"}
SHOWN = {"_shown": "promised"}
SMALL = """title: t
thanks: t
set: {kind: praise}
fields: {t: {type: text, lines: many, label: l}}
"""


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
async def shop(clock: FixedClock) -> AsyncIterator[Desk]:
    async with desk(clock) as one:
        yield one


async def filled(shop: Desk, form: str = "complaint", **answers: Any) -> dict[str, Any]:
    """The page as a person sends it off."""
    page = await shop.open(form)
    return page.controls | (COMPLAINT | SHOWN if form == "complaint" else {}) | answers


# --- pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["complaint", "satisfaction"])
@pytest.mark.parametrize("lang", LANGUAGES)
async def test_a_page_stands_by_itself(shop: Desk, form: str, lang: str) -> None:
    answer = await shop.http.get(f"/forms/{form}", params={"lang": lang})
    page = Page(answer.text)
    assert set(page.labelled()) <= page.ids
    assert all(said.get("lang", "").startswith(lang) for tag, said in page.attributes if tag == "html")
    names = {name for _, said in page.attributes for name in said}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert "//" not in "".join(said.get("src", "") + said.get("href", "") for _, said in page.attributes)
    for tag, said in page.attributes:
        if url := said.get("src") or (said.get("href") if tag == "link" else ""):
            assert (await shop.http.get(urljoin("/forms/x", url))).status_code == 200


async def test_a_page_may_do_nothing_that_it_does_not_need(shop: Desk) -> None:
    headers = (await shop.http.get("/forms/complaint")).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors *"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert (headers["referrer-policy"], headers["cache-control"]) == ("same-origin", "no-store")
    assert "set-cookie" not in headers and "x-frame-options" not in headers


@pytest.mark.parametrize(
    ("embed", "ancestors", "frame"),
    [
        ("", "'none'", "DENY"),
        ("embed: any", "*", None),
        ("embed: ['https://shop.example.org', 'http://127.0.0.1:8080']",
         "https://shop.example.org http://127.0.0.1:8080", None),
    ],
)  # fmt: skip
async def test_only_the_sites_of_the_form_may_frame_it(
    clock: FixedClock, tmp_path: Path, embed: str, ancestors: str, frame: str | None
) -> None:
    async with desk(clock, forms_in(tmp_path, mine=f"{embed}\n{SMALL}")) as shop:
        headers = (await shop.http.get("/forms/mine")).headers
    assert headers["content-security-policy"].endswith(f"frame-ancestors {ancestors}")
    assert headers.get("x-frame-options") == frame


@pytest.mark.parametrize(
    ("asked", "accepted", "lang"),
    [
        (None, "", "en"), (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"), (None, "de,en;q=0.5,zh;q=0.4", "en"),
        (None, "fr", "en"), (None, "en;q=0.1, zh-TW;q=0.2", "zh"), ("zh", "en", "zh"), ("en", "zh", "en"),
        ("de", "zh", "zh"), (None, "zh;q=abc,en;q=0.1", "en"), (None, "zh;q=0", "en"),
        (None, "," * 9999, "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_one_asked_for_else_the_one_accepted(
    asked: str | None, accepted: str, lang: str
) -> None:
    assert choose_language(asked, accepted) == lang


async def test_the_other_language_is_a_link_away(shop: Desk) -> None:
    page = await shop.open("complaint", lang="zh")
    (switch,) = page.links
    other = await shop.http.get(urljoin("/forms/complaint", switch))
    assert "Make a complaint" in other.text and "中文" in other.text


async def test_an_unknown_form_is_404(shop: Desk) -> None:
    for path in (
        "/forms/nope",
        "/forms/nope/thanks",
        "/forms/nope/qr.svg",
        "/forms/nope/embed.js",
        "/forms/assets/x",
    ):
        assert (await shop.http.get(path)).status_code == 404
    assert (await shop.post("nope", {})).status_code == 404


async def test_a_broken_form_is_503_and_the_others_work(clock: FixedClock, tmp_path: Path) -> None:
    async with desk(clock, forms_in(tmp_path, bad="title: [", good=SMALL)) as shop:
        assert (await shop.http.get("/forms/bad")).status_code == 503
        assert (await shop.post("bad", {})).status_code == 503
        assert (await shop.http.get("/forms/good")).status_code == 200


async def test_the_qr_code_is_a_picture_of_the_public_address(clock: FixedClock) -> None:
    async with desk(clock, public_url="https://cqm.example.org/feedback/") as shop:
        answer = await shop.http.get("/forms/complaint/qr.svg?lang=zh")
        customer = "".join(sha256(bytes([n])).hexdigest() for n in range(60))
        link = shop.signer.sign(Link("complaint", customer))
        long = await shop.http.get("/forms/complaint/qr.svg", params={"link": link})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(answer.text)[0].text == "投诉与反馈"
    assert long.status_code == 422


async def test_a_qr_code_holds_only_what_is_ours_and_is_drawn_once(
    clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask for one, and that of two thousand characters takes a quarter of a second."""
    drawn: list[str] = []
    make = segno.make

    def noted(address: str, **how: Any) -> Any:
        drawn.append(address)
        return make(address, **how)

    monkeypatch.setattr(segno, "make", noted)
    public, other = "https://drawn.example.org", Signer("another secret, long enough")
    async with desk(clock, public_url=public) as shop:
        over = shop.signer.sign(Link("complaint", "C-9", until=1))
        elsewhere = shop.signer.sign(Link("satisfaction", "C-9"))
        asked: list[dict[str, str]] = [
            {}, {"lang": "x" * 2000}, {"link": "x" * 2000}, {"link": elsewhere},
            {"link": other.sign(Link("complaint", "C-9"))}, {"lang": "en", "link": over, "more": "x"},
        ]  # fmt: skip
        for query in asked:
            answer = await shop.http.get("/forms/complaint/qr.svg", params=query)
            assert answer.status_code == 200
    form = f"{public}/forms/complaint"
    assert drawn == [form, f"{form}?lang=en&link={over}"]


async def test_the_embed_script_may_be_loaded_by_other_sites(shop: Desk) -> None:
    answer = await shop.http.get("/forms/complaint/embed.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert '"en": "Make a complaint"' in answer.text


# --- taken -------------------------------------------------------------------------------------------


async def test_a_complaint_becomes_one_feedback_and_the_person_is_told_its_reference(shop: Desk) -> None:
    answer = await shop.post("complaint", await filled(shop, promised="2026-02-20", email="a@example.org"))
    ((said,),) = shop.said
    assert (said["source"], said["kind"], said["channel"]) == ("form:complaint", "complaint", "web")
    assert said["customer"] == {"personal": {"email": "a@example.org"}}
    assert said["attributes"] == {"happened": "late", "promised": "2026-02-20", "consent": True}
    assert answer.status_code == 303
    thanks = await shop.http.get(urljoin("/forms/complaint", answer.headers["location"]))
    assert thanks.status_code == 200 and ids.reference(ids.UUID(said["id"])) in thanks.text
    assert 'lang="en"' in thanks.text


async def test_the_survey_becomes_a_feedback_for_each_rating_in_one_publication(shop: Desk) -> None:
    await shop.post(
        "satisfaction", await filled(shop, "satisfaction", recommend="3", satisfied="2", text="慢")
    )
    ((first, second),) = shop.said
    assert [one["rating"]["metric"] for one in (first, second)] == ["nps", "csat"]
    assert (first["text"], second.get("text")) == ("慢", None)


async def test_a_double_click_is_one_feedback(shop: Desk) -> None:
    fields = await filled(shop)
    answers = [await shop.post("complaint", fields) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    (first,), (second,) = shop.said
    assert (first["id"], first["fingerprint"]) == (second["id"], second["fingerprint"])
    assert answers[0].headers["location"] == answers[1].headers["location"]


async def test_what_was_changed_before_it_is_sent_again_is_another_feedback(shop: Desk) -> None:
    fields = await filled(shop)
    for text in ("It came late.", "It came late, and broken."):
        assert (await shop.post("complaint", fields | {"text": text})).status_code == 303
    (first,), (second,) = shop.said
    assert first["id"] != second["id"]


async def test_each_page_is_a_feedback_of_its_own(shop: Desk) -> None:
    for _ in range(2):
        await shop.post("complaint", await filled(shop))
    (first,), (second,) = shop.said
    assert first["id"] != second["id"]


async def test_kafka_away_keeps_what_was_typed_and_sending_again_counts_once(shop: Desk) -> None:
    shop.shelf.failing = Unavailable("no leader")
    answer = await shop.post("complaint", await filled(shop, text="<it> was & is late"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    page = Page(answer.text)
    assert page.controls["text"] == ["<it> was & is late"]
    shop.shelf.failing = None
    assert (await shop.post("complaint", page.controls)).status_code == 303
    (unconfirmed,), (taken,) = shop.said
    assert unconfirmed["id"] == taken["id"]


@pytest.mark.parametrize("r", ["", "x", "a.b", Signer("another secret, long enough").sign(Link("complaint"))])
async def test_thanks_are_shown_for_a_signed_reference_only(shop: Desk, r: str) -> None:
    assert (await shop.http.get("/forms/complaint/thanks", params={"r": r})).status_code == 404


# --- sent back ---------------------------------------------------------------------------------------


async def test_errors_are_summed_up_linked_and_described(shop: Desk) -> None:
    answer = await shop.post("complaint", await filled(shop, text="", email="me", happened="", consent=""))
    page = Page(answer.text)
    assert answer.status_code == 422 and not shop.said
    assert [link for link in page.links if "#" in link] == [
        "#f-happened",
        "#f-text",
        "#f-email",
        "#f-consent",
    ]
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert set(page.labelled()) <= page.ids
    by_name = {said.get("name"): said for tag, said in page.attributes if tag in ("input", "textarea")}
    assert "e-email" in by_name["email"]["aria-describedby"] and by_name["email"]["aria-invalid"] == "true"
    assert ("div", "alert") in [(tag, said.get("role")) for tag, said in page.attributes]
    assert page.controls["email"] == ["me"]


async def test_a_question_that_depends_on_another_is_a_second_step_without_javascript(shop: Desk) -> None:
    page = await shop.open("complaint")
    assert "promised" not in page.controls
    answer = await shop.post("complaint", page.controls | COMPLAINT)
    second = Page(answer.text)
    assert answer.status_code == 422 and "#f-promised" in second.links
    assert second.controls["_shown"] == ["promised"]
    assert (await shop.post("complaint", second.controls)).status_code == 303
    ((said,),) = shop.said
    assert "promised" not in said["attributes"]


async def test_what_was_typed_comes_back_as_text(shop: Desk) -> None:
    fields = await filled(shop)
    lines = ("text", "order", "product", "email", "phone")
    typed = ("happened", "promised", "consent", *lines)
    plain = Page((await shop.post("complaint", fields | dict.fromkeys(typed, "plain"))).text)
    for text in INJECTIONS:
        page = Page((await shop.post("complaint", fields | dict.fromkeys(typed, text))).text)
        assert page.tags == plain.tags
        assert [page.controls[name] for name in lines] == [[text]] * len(lines)


async def test_nothing_of_an_address_stands_on_a_page(shop: Desk) -> None:
    for text in INJECTIONS:
        query = {"lang": text, "link": text, "customer": text, "r": text}
        for answer in (
            await shop.http.get("/forms/complaint", params=query),
            await shop.http.get("/forms/complaint/thanks", params=query),
            await shop.post("complaint", {text: text, "_token": text, "_shown": text}),
        ):
            assert text not in answer.text and "alert(1)" not in answer.text


# --- who may post ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "none"}, 303),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://cqm"}, 403),
        ({"origin": "http://cqm"}, 303),
        ({"origin": "https://cqm"}, 303),
        ({"origin": "https://cqm.example.org"}, 303),
        ({"origin": "https://evil.example.org"}, 403),
        ({"origin": "http://cqm.evil.example.org"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://[::1"}, 403),
        ({}, 303),
    ],
)
async def test_a_form_is_posted_from_its_own_page_only(
    clock: FixedClock, headers: dict[str, str], status: int
) -> None:
    async with desk(clock, public_url="https://cqm.example.org") as shop:
        fields = await filled(shop)
        assert (await shop.http.post("/forms/complaint", data=fields, headers=headers)).status_code == status
        assert len(shop.said) == (status == 303)


async def test_a_program_is_thanked_and_nothing_is_taken(shop: Desk, clock: FixedClock) -> None:
    trapped = await filled(shop, website="https://spam.example.org")
    assert (await shop.post("complaint", trapped)).status_code == 303
    quick = Page((await shop.http.get("/forms/complaint")).text).controls | COMPLAINT | SHOWN
    clock.advance(1.9)
    answer = await shop.post("complaint", quick)
    thanks = await shop.http.get(urljoin("/forms/complaint", answer.headers["location"]))
    assert (thanks.status_code, shop.said) == (200, [])
    clock.advance(0.1)
    assert (await shop.post("complaint", quick)).status_code == 303
    assert len(shop.said) == 1
    page = (await shop.http.get("/metrics")).text
    assert 'cqm_intake_rejected_total{door="forms",reason="trap",source="other"} 2.0' in page


@pytest.mark.parametrize("token", [[], [""], ["x.y"], ["a", "b"], [Signer("another secret, long enough").sign(
    PageToken("complaint", "n", 0, 1e12))]])  # fmt: skip
async def test_a_page_whose_token_is_not_ours_comes_back_and_then_works(shop: Desk, token: list[str]) -> None:
    answer = await shop.post("complaint", COMPLAINT | SHOWN | {"_token": token})
    page = Page(answer.text)
    assert (answer.status_code, shop.said, page.controls["text"]) == (422, [], [COMPLAINT["text"]])
    assert (await shop.post("complaint", page.controls)).status_code == 303


async def test_a_token_of_another_form_is_not_ours(shop: Desk) -> None:
    other = (await shop.open("satisfaction")).controls["_token"]
    assert (await shop.post("complaint", COMPLAINT | SHOWN | {"_token": other})).status_code == 422


async def test_a_page_that_was_open_for_too_long_keeps_its_identity(shop: Desk, clock: FixedClock) -> None:
    fields = await filled(shop)
    assert (await shop.post("complaint", fields)).status_code == 303
    clock.advance(24 * 3600)
    answer = await shop.post("complaint", fields)
    assert answer.status_code == 422 and "open for too long" in answer.text
    assert (await shop.post("complaint", Page(answer.text).controls)).status_code == 303
    (first,), (second,) = shop.said
    assert first["id"] == second["id"]


async def test_too_many_posts_of_one_address_come_back_with_what_was_typed(clock: FixedClock) -> None:
    async with desk(clock, posts=2) as shop:
        fields = await filled(shop)
        answers = [await shop.post("complaint", fields) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [303, 303, 429]
        assert answers[2].headers["retry-after"] == "30"
        page = Page(answers[2].text)
        clock.advance(30)
        assert (await shop.post("complaint", page.controls)).status_code == 303


# --- links -------------------------------------------------------------------------------------------


async def test_a_signed_link_fills_in_and_cannot_be_altered(shop: Desk) -> None:
    link = shop.signer.sign(Link("complaint", "C-9", "O-<1>", "delivery"))
    page = await shop.open("complaint", link=link, lang="zh")
    assert "O-<1>" in page.text and "order" not in page.controls
    answer = await shop.post(
        "complaint", page.controls | COMPLAINT | SHOWN | {"order": "O-2", "customer": "C-1"}
    )
    assert answer.status_code == 303
    ((said,),) = shop.said
    assert (said["customer"]["id"], said["order_id"], said["touchpoint"]) == ("C-9", "O-<1>", "delivery")
    assert link in page.links[0]  # the other language keeps it


@pytest.mark.parametrize(
    "query",
    [
        {"customer": "C-9"}, {"order": "O-1"}, {"touchpoint": "use"}, {"link": "x"},
        {"link": Signer("another secret, long enough").sign(Link("complaint", "C-9"))},
        {"link": Signer("a secret of these tests").sign(Link("satisfaction", "C-9"))},
        {"link": Signer("a secret of these tests").sign(Link("complaint", "C-9", until=1))},
    ],
)  # fmt: skip
async def test_a_link_that_is_not_ours_is_ignored_with_a_note(shop: Desk, query: dict[str, str]) -> None:
    page = await shop.open("complaint", **query)
    assert "not valid any more" in page.text and "order" in page.controls
    assert (await shop.post("complaint", page.controls | COMPLAINT | SHOWN)).status_code == 303
    assert "customer" not in shop.said[0][0]


# --- bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"content-type": "application/json"}, 415),
        (b"--x\r\n\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}, 415),
        (b"text=x", {}, 415),
        (b"text=x", {"content-type": "application/x-www-form-urlencoded; charset=gbk"}, 415),
        (b"text=x", URLENCODED | {"content-encoding": "br"}, 415),
        (b"text=\xff", URLENCODED, 400),
        (b"text=%ff", URLENCODED, 400),
        (b"%c0%80=x", URLENCODED, 400),
        ("text=投诉".encode("gb18030"), URLENCODED, 400),
        (b"text=%ed%a0%80", URLENCODED, 400),
        (b"not gzip", URLENCODED | {"content-encoding": "gzip"}, 400),
        (b"text=" + b"x" * MAX_BODY, URLENCODED, 413),
        (b"&".join(b"a=1" for _ in range(MAX_FIELDS + 1)), URLENCODED, 413),
        (b"", URLENCODED, 422),
        (b"=&=&&&===", URLENCODED, 422),
        (b"text=%zz%&text", URLENCODED, 422),
        (b"__proto__=x&text%5b%24ne%5d=&owner=me&received_at=1", URLENCODED, 422),
    ],
)
async def test_a_body_that_is_no_form_is_refused_in_words(
    shop: Desk, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await shop.http.post("/forms/complaint", content=body, headers=headers)
    assert (answer.status_code, shop.said) == (status, [])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors" in answer.headers["content-security-policy"]
