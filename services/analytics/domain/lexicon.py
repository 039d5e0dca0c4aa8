"""Words that carry a mood, words that turn it round, and words that say nothing, in English and Chinese.

Short on purpose: words of customers of shops and services, whose mood does not depend on the product.
"""

from __future__ import annotations


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


POSITIVE = _words(
    "amazing awesome brilliant comfortable convenient courteous delighted easy efficient excellent",
    "fantastic fast fine friendly glad good great happy helpful impressed kind love loved lovely nice",
    "outstanding perfect pleasant pleased polite prompt quick recommend reliable resolved satisfied",
    "smooth superb thank thanks wonderful worth",
    "不错 优秀 体贴 便捷 准时 出色 划算 友好 及时 喜欢 好 好用 好评 完美 实惠 专业 开心 很好 快捷 快速",
    "感谢 放心 方便 满意 热情 物超所值 省心 礼貌 细心 耐心 舒服 舒适 谢谢 贴心 赞 顺利 高兴 值得 推荐",
    "靠谱",
)
NEGATIVE = _words(
    "angry annoyed annoying awful bad broken complain complaint cracked crashed damaged defective delayed",
    "difficult dirty disappointed disappointing dreadful expensive failed failure faulty fraud frustrated",
    "frustrating horrible ignored incompetent late lost missing mistake nasty overcharged poor poorly",
    "refuse refused rude scam slow terrible ugly unacceptable unhappy unhelpful unreliable unsafe upset",
    "useless worst worse wrong",
    "不好 不满 上当 丢失 丢 乱收费 冷漠 卡顿 劣质 压坏 可恶 坏 坏掉 垃圾 失望 差 差劲 差评 延误 延迟",
    "态度恶劣 慢 太慢 投诉 损坏 摔坏 故障 敷衍 没用 漏水 烂 生气 瑕疵 破损 碎 糟糕 缺货 脏 虚假 裂 错误",
    "难吃 难用 骗 骗人 麻烦 恶劣 推诿",
)
NEGATIONS = _words(
    "not no never none nothing hardly without cannot",
    "不 没 没有 未 别 无 不是 并不 从不 不太 不够 毫无 并非 不怎么",
)
STOP = _words(
    "a about above after again against all also am an and any are as at be because been before being",
    "below between both but by can could did do does doing don down during each else ever few for from",
    "further get gets got had has have having he her here hers herself him himself his how i if in into",
    "is it its itself just let like made make many may me might more most much must my myself no nor not",
    "now of off on once one only or other our ours ourselves out over own per please re said same say",
    "says she should since so some still such than that the their theirs them themselves then there these",
    "they this those though through till to too two under until up us use used very via was we well were",
    "what when where which while who whom why will with within without would yes yet you your yours",
    "yourself yourselves dear hello hi sir madam regards ve ll cannot im ive id",
    "一个 一些 一直 一下 一样 一种 一次 不是 不能 不会 不要 不过 什么 今天 他们 以及 以后 以前 但是 你们",
    "你好 您好 其他 其实 再次 几个 出来 到了 原来 只是 只有 可以 可能 各位 同时 后来 因为 如果 如此 它们",
    "已经 怎么 怎样 总是 感觉 我们 所以 所有 才能 昨天 明天 时候 是否 最后 有点 有些 没有 然后 现在 的话",
    "目前 知道 第一 第二 而且 自己 虽然 觉得 请问 这个 这些 这样 这种 进行 还是 还有 那个 那些 那么 都是",
    "里面 问题 非常 需要 就是 直接 一点 起来 之后 之前 为什么 十分 特别 比较",
)
