"""What `cqm policy explain` says of real complaints reads like sentences: ten rows of New York's service
requests (deploy/demo/nyc311.csv), and ten complaints in Chinese. `-s` prints them all.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.mapping import load_mapping
from shared.policy import explain, feedback_as_said, load_policy, sentences
from shared.policy.wording import Reader
from shared.settings import DEMO_POLICY

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
POLICY = load_policy(DEMO_POLICY)
IN_CHINESE = (
    "快递箱子压坏了，里面的杯子碎了。",
    "订单一周了还没收到，物流一直不动。",
    "收到的包裹没有破损，但是少了一件。",
    "用了两天就开不了机，要求退货。",
    "客服態度非常差，電話沒人接。",
    "同一笔订单重复扣款，退款一直没到。",
    "账号登录不了，验证码收不到。",
    "发错型号，与订单不符。",
    "包裝盒破損，但產品沒有問題。",
    "希望说明书写得清楚一点。",
)
NO_SENTENCE = re.compile(r"None|[{}<>]|  |\bnan\b|\.\.|。。|，，|: \.|：。|, \.|\(\)|（）|''|“”")
"""What a template leaves behind that had nothing to say."""


def rows() -> list[Any]:
    """The first row of ten categories."""
    with (ROOT / "deploy" / "demo" / "nyc311.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    apply = load_mapping("nyc311", ROOT / "deploy" / "mappings").for_header(header)
    first = {said["category"]: said for said in map(apply, reversed(lines))}
    return [pytest.param(said, "en", id=name) for name, said in islice(first.items(), 10)]


def chinese() -> list[Any]:
    said = ({"kind": "complaint", "channel": "web", "text": text} for text in IN_CHINESE)
    return [pytest.param(one, "zh", id=f"zh{number}") for number, one in enumerate(said)]


@pytest.mark.parametrize(("given", "to"), [*rows(), *chinese()])
def test_an_explanation_can_be_read_aloud(given: dict[str, Any], to: Reader) -> None:
    said = feedback_as_said(msgspec.json.encode(given), NOW)
    told = sentences(explain(said, POLICY, to), POLICY, to)
    print("\n" + "\n".join(told))
    assert len(told) == 7
    for sentence in told:
        assert sentence.endswith("。" if to == "zh" else ".")
        assert not NO_SENTENCE.search(sentence), sentence
        assert to == "zh" or sentence[0].isupper()
    assert POLICY.version in told[-1]
