"""Whether a text denies the word that follows: "not damaged", 没有破损 (docs/policy.md).

The rule is narrow on purpose, for a complaint that is overlooked costs more than one looked at in vain: a
negator right before the word, with nothing between but words that do not change the sense ("not at all", "no
visible", 没有任何). Two negators are none ("not without damage", 不是没有破损). Questions (有没有,
是不是) and "not only", 不但, 不仅 deny nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_REACH = 48
"""Characters before a word that are looked at."""

# Each with the characters that make something else of it when they stand before it: 有没有, 淹没, 得不.
_ZH = {
    "没有": "有淹沉埋", "没": "有淹沉埋", "不是": "是", "不会": "会", "未有": "", "未": "",
    "无": "有", "非": "除莫", "不": "得",
}  # fmt: skip
_ZH_BETWEEN = (
    "任何 任何的 明显 明显的 什么 一点 丝毫 被 出现 发生 发现 看到 见到 看见 见 "
    "造成 受到 受 存在 再 太 怎么 算 曾 过"
)  # fmt: skip
_EN = "not no never without neither nor hardly isnt arent wasnt werent hasnt havent hadnt dont doesnt didnt"
_EN_BETWEEN = (
    "a an any the be been being at all yet really actually even longer more visible visibly obvious "
    "obviously noticeable noticeably apparent apparently physically in way sign signs of to seem seems "
    "seemed look looks looked appear appears appeared arrive come have"
)


def _mirrored(words: Iterable[str]) -> str:
    return "|".join(word[::-1] for word in words)


# Read backwards from the word, so that a text that denies nothing fails at the first character.
_ZH_NEGATOR = "|".join(word[::-1] + (f"(?![{before}])" if before else "") for word, before in _ZH.items())
_EN_NEGATOR = f" (?:{_mirrored(_EN.split())}|t'n[a-z]+)(?![a-z0-9'])"
_NEGATOR = re.compile(f"{_ZH_NEGATOR}|{_EN_NEGATOR}")
_DENIAL = re.compile(
    f"(?:(?: ?(?:{_mirrored(_ZH_BETWEEN.split())}))* ?(?:{_ZH_NEGATOR})"
    f"|(?: (?:{_mirrored(_EN_BETWEEN.split())})(?= ))*{_EN_NEGATOR})+"
)
_ENDS = frozenset(word[-1] for word in (*_ZH, *_ZH_BETWEEN.split())) | {" "}
_JOINED = re.compile(" ?(?:or|nor|、|和|或者|或|及|以及|与|/) ?(?:any )?")


def is_denied(text: str, start: int) -> bool:
    """Whether folded text denies the word that begins at `start`."""
    if not start or text[start - 1] not in _ENDS:
        return False
    denial = _DENIAL.match(text[max(0, start - _REACH) : start][::-1])
    return denial is not None and len(_NEGATOR.findall(denial.group())) % 2 == 1


def goes_on(text: str, end: int, start: int) -> bool:
    """Whether a denial goes on from one word to the next: "no dents or cracks", 没有破损和变形."""
    return _JOINED.fullmatch(text, end, start) is not None
