"""What each KPI means, in English and Chinese, for those who read the figures."""

from __future__ import annotations

from collections.abc import Mapping

_PERCENTILES = {
    "en": " Percentiles are exact to 1 %, the mean is exact.",
    "zh": "百分位误差不超过 1 %，平均值精确。",
}


def _texts(en: str, zh: str, *, percentiles: bool = False) -> dict[str, str]:
    if percentiles:
        return {"en": en + _PERCENTILES["en"], "zh": zh + _PERCENTILES["zh"]}
    return {"en": en, "zh": zh}


DEFINITIONS: Mapping[str, Mapping[str, str]] = {
    "feedback_volume": _texts(
        "Feedback received, counted at the time the customer spoke (occurred_at). The department, owner and "
        "priority are those of the case which the feedback opened or joined; the category and severity are "
        "the customer's, else that case's.",
        "收到的反馈数量，按客户反馈发生的时间（occurred_at）计。部门、负责人与优先级取该反馈所开立或并入的案件；"
        "类别与严重度取客户所给，未给时取案件的。",
    ),
    "defects": _texts(
        "Feedback that reports something wrong (complaint, return, quality report, inspection), counted at "
        "occurred_at. By product model, batch, category or supplier it is the Pareto of defects.",
        "报告质量问题的反馈数量（投诉、退货、质量报告、检验），按 occurred_at 计。"
        "按产品型号、批次、类别或供应商展开即为缺陷帕累托图。",
    ),
    "nps": _texts(
        "100 x (scores 9-10 minus scores 0-6) / answered; answers on the scale 0-10 only, counted at "
        "occurred_at.",
        "100 ×（9–10 分人数 − 0–6 分人数）/ 回答人数；仅计 0–10 分制，按 occurred_at 计。",
    ),
    "csat": _texts(
        "Satisfied answers / answered. Satisfied is 4 and 5 on 1-5; on other scales the top 40 % of "
        "the scale's steps, rounded down, at least one step. The scale is stored with the fact. Counted at "
        "occurred_at.",
        "满意回答数 / 回答数。1–5 分制中 4、5 分为满意；其他分制取最高的 40 % 档位"
        "（向下取整，至少一档）。分制随事实保存，按 occurred_at 计。",
    ),
    "ces": _texts(
        "Mean score of customer effort on one scale, high is easy; `scale` names it (1-7 without it), scales "
        "are never mixed. Scores count in thousandths. Counted at occurred_at.",
        "同一分制上客户费力度的平均分，分高表示轻松；scale 指定分制（默认 1–7），不同分制从不混合。"
        "分数以千分之一计，按 occurred_at 计。",
    ),
    "ces_easy_share": _texts(
        "Easy answers / answered on one scale: 5-7 on 1-7; on other scales the upper three sevenths of the "
        "steps, rounded down, at least one. Counted at occurred_at.",
        "同一分制上轻松回答数 / 回答数：1–7 分制中 5–7 分；其他分制取最高的七分之三档位"
        "（向下取整，至少一档）。按 occurred_at 计。",
    ),
    "handling_time": _texts(
        "Handling time (talk + hold + wrap-up) of feedback whose source gives it: attributes "
        "handling_seconds, or talk_seconds, hold_seconds and wrap_up_seconds. Wall time, counted at "
        "occurred_at.",
        "处理时长（通话＋保持＋话后），仅计来源给出者：属性 handling_seconds，"
        "或 talk_seconds、hold_seconds、wrap_up_seconds 之和。自然时间，按 occurred_at 计。",
        percentiles=True,
    ),
    "case_volume": _texts(
        "Cases opened, whatever became of them, counted at opened_at.",
        "开立的案件数量（不论后来状态），按开立时间 opened_at 计。",
    ),
    "resolved_volume": _texts(
        "Cases resolved, each once, counted at their first resolution.",
        "已解决的案件数量，每案计一次，按首次解决时间计。",
    ),
    "backlog": _texts(
        "Cases open now (not resolved, closed, merged or cancelled), counted at the time they were "
        "opened: a series shows how old the backlog is, not how large it was.",
        "目前未结案件数量（未解决、未关闭、未合并、未取消），按开立时间计："
        "序列反映积压案件的账龄，而非历史积压量。",
    ),
    "backlog_paused": _texts(
        "Those cases of the backlog that wait for a customer or for somebody internal, counted at opened_at.",
        "积压案件中等待客户或内部的数量，按开立时间计。",
    ),
    "backlog_age": _texts(
        "How long the cases that are open now have been open, wall time, of those opened between from and "
        "to. Exact, from the cases themselves.",
        "目前未结案件已开立的时长（自然时间），限 from 与 to 之间开立者。直接由案件计算，精确。",
    ),
    "first_contact_resolution": _texts(
        "Cases resolved with one contact (one feedback, not reopened within 7 days) and no further case of "
        "the same customer and category within 7 days / cases resolved; counted at the first resolution. "
        "Provisional until 7 days have passed.",
        "一次联系即解决（仅一条反馈、7 天内未重开）且 7 天内同一客户同一类别未再开案的案件 / 已解决案件；"
        "按首次解决时间计。满 7 天前为暂定值。",
    ),
    "reopen_rate": _texts(
        "Cases reopened within 30 days of their first resolution / cases resolved, each once, counted at "
        "that resolution. Provisional until 30 days have passed.",
        "首次解决后 30 天内重开的案件 / 已解决案件，每案计一次，按首次解决时间计。满 30 天前为暂定值。",
    ),
    "recovery_rate": _texts(
        "Closed cases whose customer said they were satisfied / closed cases that were rated; counted at "
        "closed_at.",
        "关闭后客户评价满意的案件 / 关闭且有评价的案件；按关闭时间 closed_at 计。",
    ),
    "escalation_rate": _texts(
        "Cases with at least one escalation besides a reminder to their owner / cases opened; counted at "
        "opened_at.",
        "至少升级一次（不含提醒负责人）的案件 / 开立案件；按开立时间 opened_at 计。",
    ),
    "transfer_rate": _texts(
        "Cases handed to another department at least once / cases opened; counted at opened_at, under the "
        "department that has the case now.",
        "至少转交过一次部门的案件 / 开立案件；按开立时间 opened_at 计，归于现部门。",
    ),
    "department_efficiency": _texts(
        "Cases resolved (first resolution) in the period / cases opened in the period; above 1 the backlog "
        "shrinks.",
        "期内（首次）解决的案件 / 期内开立的案件；大于 1 表示积压减少。",
    ),
    "sla_attainment": _texts(
        "Met / (met + breached) promises, per target and clock epoch; one that is open and past due "
        "counts as breached. A met promise counts when its clock stopped, a breached one when it was due. "
        "Without `target` all that was promised to customers counts together; what departments owe each "
        "other (`ola`) is counted where it is named.",
        "达标数 /（达标数 + 违约数），按目标与时钟周期计；未完成且已逾期的计为违约。"
        "达标按停钟时间计，违约按到期时间计。未指定 target 时合并对客户承诺的所有目标；"
        "部门间的内部时限（ola）须指明才计。",
    ),
    "first_response_time": _texts(
        "First human public reply minus first inbound customer message, less holds, in seconds of the "
        "clock's calendar (business) or on the wall; counted when the reply was given.",
        "首次人工公开回复时间减客户首次来信时间，扣除暂停，"
        "按工作日历（business）或自然时间（wall）的秒数计，记在回复发生之时。",
        percentiles=True,
    ),
    "resolution_time": _texts(
        "Resolved minus opened, less holds, in seconds of the clock's calendar (business) or on the wall, "
        "of cases with a promise of resolution; counted when they were resolved, after a reopening again.",
        "解决时间减开立时间，扣除暂停，按工作日历（business）或自然时间（wall）的秒数计，"
        "限有解决时限承诺的案件；记在解决之时，重开后再次计入。",
        percentiles=True,
    ),
    "response_rate": _texts(
        "Surveys answered / surveys sent, counted when they were sent. A customer's rating answers the last "
        "survey sent to them in the 30 days before it. Provisional until 30 days have passed.",
        "已回答问卷 / 已发送问卷，按发送时间计。客户的评分视为对其前 30 天内最后一份问卷的回答。"
        "满 30 天前为暂定值。",
    ),
    "complaint_rate": _texts(
        "Complaints per 1,000 orders, by the date of the order. A complaint counts at the date of the order "
        "that it names; where it names none, or one that is not known (yet), at its own. "
        "Provisional until 30 days have passed.",
        "每千笔订单的投诉数，按订单日期计。投诉归于其所指订单的日期；未指明订单或订单尚不可知时归于投诉本身的日期。"
        "满 30 天前为暂定值。",
    ),
    "return_rate": _texts(
        "Units returned / units shipped, by the date of shipment. A return belongs to the last shipment of "
        "its sku before it, else to the first one: of the order that it names (attributes.order_id), or of "
        "its customer where it names none. Provisional until 30 days have passed.",
        "退货件数 / 发货件数，按发货日期计。退货归于其之前同一 SKU 的最后一次发货，之前没有则归于第一次："
        "在其所指订单（attributes.order_id）之内，未指明订单时在同一客户之内。满 30 天前为暂定值。",
    ),
    "repair_rate": _texts(
        "Units repaired / units shipped, by the date of shipment, as for return_rate. "
        "Provisional until 30 days have passed.",
        "维修件数 / 发货件数，按发货日期计，归属规则同 return_rate。满 30 天前为暂定值。",
    ),
    "churn_rate": _texts(
        "Customers lost in the period / customers active at its start. Active is who signed up or renewed "
        "and was not lost since. Who joins and leaves within the period counts among the lost.",
        "期内流失客户 / 期初活跃客户。活跃指已注册或续约且此后未流失者。期内加入又流失者也计入流失。",
    ),
    "retention_rate": _texts(
        "1 - churn_rate: customers active at the start of the period less those lost in it, / active at "
        "its start.",
        "1 − churn_rate：（期初活跃客户 − 期内流失客户）/ 期初活跃客户。",
    ),
    "repurchase_rate": _texts(
        "Customers with a second order within 90 days of their first / customers with a first order, by the "
        "date of the first. Provisional until 90 days have passed.",
        "首单后 90 天内再次下单的客户 / 首次下单的客户，按首单日期计。满 90 天前为暂定值。",
    ),
}
