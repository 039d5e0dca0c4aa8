"""What pages of forms say beside the form's own texts, in both languages."""

from __future__ import annotations

from typing import Literal

Lang = Literal["zh", "en"]
LANGUAGES: tuple[Lang, ...] = ("zh", "en")
TAGS: dict[Lang, str] = {"zh": "zh-CN", "en": "en"}

_WORDS: dict[str, tuple[str, str]] = {
    "send": ("提交", "Send"),
    "optional": ("（选填）", "(optional)"),
    "choose": ("请选择", "Please choose"),
    "day_format": ("格式：2026-03-02", "As in 2026-03-02"),
    "several": ("可多选。", "Choose all that apply."),
    "trap": ("请勿填写此栏", "Leave this empty"),
    "error": ("错误", "Error"),
    "summary": ("请检查以下内容", "Please put this right"),
    "more": ("请再回答以下问题，然后提交", "One more question, then send it again"),
    "expired": (
        "页面打开时间过长，内容尚未提交。您填写的内容仍在，请再次提交。",
        "This page was open for too long, and nothing was sent. What you wrote is still here: send it again.",
    ),
    "away": (
        "系统暂时繁忙，内容尚未确认收到。您填写的内容仍在，请稍候再次提交，不会重复。",
        "We could not confirm that this arrived. What you wrote is still here: wait a moment and send it "
        "again. It will count once.",
    ),
    "busy": (
        "提交过于频繁。您填写的内容仍在，请一分钟后再次提交。",
        "That was a lot in a short time. What you wrote is still here: send it again in a minute.",
    ),
    "bad_link": (
        "此链接无效或已过期，未使用其中的信息，请您自行填写。",
        "This link is not valid any more, and nothing of it was used. Please fill in the form yourself.",
    ),
    "about_order": ("关于订单", "About order"),
    "reference": ("您的受理编号", "Your reference number"),
    "keep": ("请记下此编号，咨询时请提供。", "Keep it: with this number we find your message at once."),
    "again": ("再填写一份", "Fill in another one"),
    "back": ("返回表单", "Back to the form"),
    "sorry": ("无法处理", "This did not work"),
    "other_language": ("English", "中文"),
    "from_to": ("{0} 分：{1}；{2} 分：{3}", "{0} is {1}, {2} is {3}"),
    # what can be wrong with an answer (domain/answers.py, Code)
    "wrong.required": ("请填写", "Please answer this"),
    "wrong.tick": ("请勾选以继续", "Please tick this box to go on"),
    "wrong.choose": ("请选择一项", "Please choose one"),
    "wrong.once": ("只能填写一个答案", "Give one answer only"),
    "wrong.option": ("请从所列选项中选择", "Choose from what is listed"),
    "wrong.one_line": ("请写在一行内，不要包含控制字符", "Write one line, without control characters"),
    "wrong.nul": ("包含无法处理的字符", "This has a character that cannot be taken"),
    "wrong.too_long": ("最多 {0} 个字符", "Use at most {0} characters"),
    "wrong.too_short": ("至少 {0} 个字符", "Use at least {0} characters"),
    "wrong.email": ("请填写有效的邮箱地址，例如 name@example.com", "Write an address as in name@example.com"),
    "wrong.phone": ("请填写有效的电话号码", "Write a phone number, with 5 to 20 digits"),
    "wrong.date": ("请填写有效日期，例如 2026-03-02", "Write a day as in 2026-03-02"),
    "wrong.too_early": ("不能早于 {0}", "It cannot be before {0}"),
    "wrong.too_late": ("不能晚于 {0}", "It cannot be after {0}"),
    "wrong.nothing": ("请至少回答一个问题", "Please answer at least one question"),
    # what is wrong with a request as a whole, by status
    "status.400": ("请求内容无法读取。", "What your browser sent cannot be read."),
    "status.403": ("请从本页面提交表单。", "Forms are sent from their own page only."),
    "status.404": ("没有此页面。", "There is no such page."),
    "status.408": ("提交时间过长，请重试。", "Sending took too long. Please try again."),
    "status.413": ("内容过长。", "This is too long."),
    "status.415": ("提交格式不受支持。", "This was not sent by the form."),
    "status.422": ("请求内容无法接受。", "This cannot be taken."),
    "status.503": ("系统繁忙，请稍候重试。", "We are too busy at the moment. Please try again soon."),
    "status.refused": ("此表单暂不可用。", "This form is out of order at the moment."),
}  # fmt: skip


def say(word: str, lang: Lang, *values: object) -> str:
    """The words for `word` in `lang`, with `values` in their places."""
    zh, en = _WORDS[word]
    text = zh if lang == "zh" else en
    return text.format(*values) if values else text


def choose_language(asked: str | None, accepted: str) -> Lang:
    """`asked` by ?lang=, else by Accept-Language (RFC 9110, 12.5.4), else English."""
    for lang in LANGUAGES:
        if asked == lang:
            return lang
    best: tuple[float, Lang] = (0.0, "en")
    for part in accepted[:1000].split(","):
        tag, _, quality = part.strip().partition(";")
        for lang in LANGUAGES:
            if tag.lower().split("-")[0] == lang and _weight(quality) > best[0]:
                best = (_weight(quality), lang)
    return best[1]


def _weight(quality: str) -> float:
    """Of `q=0.8`; 1 where there is none, 0 where it cannot be read."""
    name, _, value = quality.strip().partition("=")
    if not name:
        return 1.0
    try:
        return max(0.0, min(1.0, float(value)))
    except ValueError:
        return 0.0
