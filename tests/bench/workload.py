"""The reference mix of feedback, made before the clock runs: the generator must not be what is measured.

10 % complaints, 10 % tickets, 30 % survey answers, 30 % reviews, 20 % others; half Chinese, half English,
about 1 KB of text each. 40 % are actionable (complaints, tickets, low ratings), and a tenth of those speak
about the matter of an earlier one, so that they join its case.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

TEXT_BYTES = 1000

_MATTERS = {
    "zh": (
        "收到的包裹外箱破损，里面的杯子碎了。", "订单过了一周还没收到，一直延误。",
        "快递丢件了，客服也查不到。",
        "发错了型号，和我订的不一样。", "用了两天就坏了，完全开不了机。", "客服态度差，打电话没人理。",
        "同一笔订单重复扣款，退款一直没到。", "账号登录不了，验证码收不到。", "希望说明书能再清楚一些。",
    ),
    "en": (
        "The broken box arrived with a shattered mug inside. ", "My order was delayed and has not arrived. ",
        "It looks like a lost parcel, nobody can find it. ", "You sent the wrong item, not what I ordered. ",
        "It stopped working after two days. ", "The agent on the phone was rude and hung up. ",
        "I was charged twice and the refund is missing. ", "I cannot log in, the locked account stays so. ",
        "A clearer manual would be welcome. ",
    ),
}  # fmt: skip
_FILLERS = {
    "zh": (
        "我是三月份在官网上下的单，当时选择了标准配送。", "这是我们家第二次购买这个品牌，之前一直比较满意。",
        "附上了照片和订单截图，请核对。", "家里有老人要用，所以比较着急。", "希望能尽快给一个明确的答复。",
        "工作日白天可以打电话给我，晚上发消息也行。", "周围的朋友也买过同款，他们没有遇到这种情况。",
    ),
    "en": (
        "I ordered it on your web site in March and chose the standard option. ",
        "We have bought from you before and were happy with it until now. ",
        "Photos and a copy of the order are attached for your reference. ",
        "My parents need it this month, so please give me a clear answer. ",
        "You can call me on weekdays, or write a message in the evening. ",
        "Friends of mine have the same model and never saw anything like this. ",
    ),
}  # fmt: skip
_OTHERS = ("suggestion", "praise", "social", "suggestion", "praise")
_CHANNELS = ("web", "app", "email", "chat", "phone", "store")
_DECK = ("complaint",) * 10 + ("ticket",) * 10 + ("survey",) * 30 + ("review",) * 30 + ("other",) * 20
_LOW_SHARE = 1 / 3
"""Of the ratings: a third of 60 % make the second half of the 40 % that are actionable."""
_JOIN_SHARE = 0.1


class Matter(NamedTuple):
    """What two feedbacks have in common when they are about the same thing."""

    customer: str
    language: str
    words: str
    model: str


def bodies(count: int, per_body: int, *, run: str, seed: int = 1) -> list[bytes]:
    """`count` feedback as NDJSON bodies of `per_body` lines. Another `run`, other ids."""
    made = list(signals(count, run=run, seed=seed))
    encode = msgspec.json.encode
    return [
        b"\n".join(encode(one) for one in made[start : start + per_body])
        for start in range(0, count, per_body)
    ]


def signals(count: int, *, run: str, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Feedback as a sender of intake says it; the same arguments make the same ones."""
    chance = random.Random(seed)
    kinds: list[str] = []
    earlier: list[Matter] = []
    for number in range(count):
        if not kinds:
            kinds = chance.sample(_DECK, len(_DECK))
        kind = kinds.pop()
        low = kind in ("survey", "review") and chance.random() < _LOW_SHARE
        actionable = low or kind in ("complaint", "ticket")
        if actionable and earlier and chance.random() < _JOIN_SHARE:
            matter = chance.choice(earlier)
        else:
            matter = _matter(chance, f"{run}-C{number}")
            if actionable:
                earlier.append(matter)
        yield _signal(chance, f"{run}-{number}", run, kind, low, matter)


def _matter(chance: random.Random, customer: str) -> Matter:
    language = chance.choice(("zh", "en"))
    return Matter(customer, language, chance.choice(_MATTERS[language]), f"M{chance.randrange(200)}")


def _signal(
    chance: random.Random, identity: str, run: str, kind: str, low: bool, matter: Matter
) -> dict[str, Any]:
    spoken = chance.choice(_OTHERS) if kind == "other" else kind
    signal: dict[str, Any] = {
        "source": run,
        "external_id": identity,
        "kind": spoken,
        "channel": chance.choice(_CHANNELS),
        "text": _text(chance, matter),
        "customer": {
            "id": matter.customer,
            "tier": chance.choice(("standard", "standard", "gold")),
            "region": f"R{chance.randrange(30)}",
            "name": "李雷" if matter.language == "zh" else "Alex Doe",
            "phone": "+86 10 5555 0100",
            "email": f"{identity}@example.org",
        },
        "product": {"sku": f"{matter.model}-1", "model": matter.model, "batch": f"B{chance.randrange(50)}"},
        "order_id": f"O-{identity}",
        "touchpoint": chance.choice(("purchase", "delivery", "use", "support")),
        "attributes": {"campaign": f"K{chance.randrange(9)}", "seconds": chance.randrange(900)},
    }
    if kind == "survey":
        score = chance.randrange(7) if low else chance.randrange(7, 11)
        signal["rating"] = {"metric": "nps", "score": score, "scale_min": 0, "scale_max": 10}
    elif kind == "review":
        score = chance.randrange(1, 3) if low else chance.randrange(3, 6)
        signal["rating"] = {"metric": "csat", "score": score, "scale_min": 1, "scale_max": 5}
    return signal


def _text(chance: random.Random, matter: Matter) -> str:
    parts, size = [matter.words], len(matter.words.encode())
    while size < TEXT_BYTES:
        parts.append(chance.choice(_FILLERS[matter.language]))
        size += len(parts[-1].encode())
    return "".join(parts)
