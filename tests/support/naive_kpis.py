"""KPIs computed a second way: by pandas, straight from the events, whole and at once.

It knows neither facts nor corrections: it looks at all events, keeps the first content of an id and the
highest version of a case, and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from shared.events import (
    ActivityRecorded,
    CaseChanged,
    Event,
    FeedbackReceived,
    TargetBreached,
    TargetFinished,
)

Frame = pd.DataFrame
Figure = tuple[int | None, int]
"""Numerator (None: no count at all) and n."""
DONE = ("resolved", "closed", "merged", "cancelled")


def feedback_frame(events: Sequence[Event]) -> Frame:
    """One row per feedback: what was said, and the department of the case that speaks for it."""
    cases = case_frame(events)
    said = {event.id: event for event in reversed(events) if isinstance(event, FeedbackReceived)}
    found = []
    for one in said.values():
        of = [case for case in cases.to_dict("records") if one.id in case["about"]]
        main = min(of, key=lambda case: (case["status"] == "merged", case["id"]), default=None)
        rating = one.rating
        found.append({
            "at": one.occurred_at, "kind": one.kind, "channel": one.channel,
            "category": one.category or (main["category"] if main else ""),
            "department": main["department"] if main else "",
            "metric": rating.metric if rating else "", "score": rating.score if rating else 0,
            "scale": (rating.scale_min, rating.scale_max) if rating else None,
        })  # fmt: skip
    return pd.DataFrame(found, columns=[
        "at", "kind", "channel", "category", "department", "metric", "score", "scale"])  # fmt: skip


def case_frame(events: Sequence[Event]) -> Frame:
    """One row per case, of its highest version."""
    newest: dict[Any, CaseChanged] = {}
    came: dict[Any, set[Any]] = {}
    for event in events:
        if isinstance(event, CaseChanged):
            if event.change.feedback_id is not None:
                came.setdefault(event.case.id, set()).add((event.case.version, event.change.at))
            seen = newest.get(event.case.id)
            if seen is None or event.case.version > seen.case.version:
                newest[event.case.id] = event
    found = []
    for event in newest.values():
        case = event.case
        back = next((hold for hold in case.holds if hold.status == "resolved"), None)
        found.append({
            "id": case.id.hex, "about": set(case.feedback_ids), "status": case.status,
            "department": case.department, "category": case.category, "kind": case.kind,
            "channel": case.channel, "customer": case.customer.id, "opened": case.opened_at,
            "resolved": back.start if back else case.resolved_at, "reopened": back.end if back else None,
            "later": sum(at >= back.end for _, at in came.get(case.id, ())) if back and back.end else 0,
        })  # fmt: skip
    return pd.DataFrame(found, columns=[
        "id", "about", "status", "department", "category", "kind", "channel", "customer", "opened",
        "resolved", "reopened", "later"])  # fmt: skip


def target_frame(events: Sequence[Event]) -> Frame:
    """One row per promise: an end wins over a breach, a later version of the case over an earlier one."""
    rows = [
        {
            "key": (event.case_id, event.target, event.epoch), "end": isinstance(event, TargetFinished),
            "version": event.case_version, "department": event.labels.department,
            "channel": event.labels.channel, "kind": event.labels.kind, "category": event.labels.category,
            "target": event.target,
            "met": isinstance(event, TargetFinished) and event.verdict == "met",
            "at": event.finished_at if isinstance(event, TargetFinished) and event.verdict == "met"
            else event.due_at,
            "finished": event.finished_at if isinstance(event, TargetFinished) else None,
            "seconds": event.business_seconds if isinstance(event, TargetFinished) else 0,
        }
        for event in events
        if isinstance(event, TargetBreached | TargetFinished)
    ]  # fmt: skip
    columns = ["key", "end", "version", "department", "channel", "kind", "category", "target", "met", "at",
               "finished", "seconds"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["end", "version"], kind="stable").drop_duplicates("key", keep="last")


def activity_frame(events: Sequence[Event]) -> Frame:
    rows = {
        event.id: {"at": event.occurred_at, "kind": event.kind, "customer": event.customer.id,
                   "sku": event.product.sku, "quantity": event.quantity, "region": event.customer.region,
                   "order": str(event.attributes.get("order_id", "")), "id": event.id.hex}
        for event in events
        if isinstance(event, ActivityRecorded)
    }  # fmt: skip
    columns = ["at", "kind", "customer", "sku", "quantity", "region", "order", "id"]
    return pd.DataFrame(rows.values(), columns=columns).sort_values(["at", "id"])


Lines = Callable[[Sequence[Event]], Frame]
"""A frame with `at`, `numerator`, `n` and labels: summed up, a figure."""


def _lines(frame: Frame, at: str, numerator: Any, n: Any) -> Frame:
    return frame.assign(at=frame[at], numerator=numerator, n=n).dropna(subset=["at"])


def _feedback_volume(events: Sequence[Event]) -> Frame:
    return _lines(feedback_frame(events), "at", 1, 1)


def _nps(events: Sequence[Event]) -> Frame:
    frame = feedback_frame(events)
    frame = frame[(frame.metric == "nps") & (frame.scale == (0, 10))]
    score = frame.score.astype(float)
    return _lines(frame, "at", (score >= 9).astype(int) - (score <= 6).astype(int), 1)


def _csat(events: Sequence[Event]) -> Frame:
    frame = feedback_frame(events)
    frame = frame[(frame.metric == "csat") & (frame.scale == (1, 5))]
    return _lines(frame, "at", (frame.score.astype(float) >= 4).astype(int), 1)


def _case_volume(events: Sequence[Event]) -> Frame:
    return _lines(case_frame(events), "opened", 1, 1)


def _backlog(events: Sequence[Event]) -> Frame:
    frame = case_frame(events)
    return _lines(frame[~frame.status.isin(DONE)], "opened", 1, 1)


def _reopen_rate(events: Sequence[Event]) -> Frame:
    frame = case_frame(events)
    frame = frame[frame.resolved.notna()]
    back = [
        int(pd.notna(again) and again - first <= pd.Timedelta(days=30))
        for first, again in zip(frame.resolved, frame.reopened, strict=True)
    ]
    return _lines(frame, "resolved", back, 1)


def _first_contact(events: Sequence[Event]) -> Frame:
    frame = case_frame(events)
    rows = frame.to_dict("records")

    def once(case: dict[str, Any]) -> int:
        week = pd.Timedelta(days=7)
        soon = pd.notna(case["reopened"]) and case["reopened"] - case["resolved"] <= week
        if soon or len(case["about"]) - case["later"] != 1:
            return 0
        return int(not any(
            case["customer"] and other["customer"] == case["customer"]
            and other["category"] == case["category"]
            and case["resolved"] < other["opened"] <= case["resolved"] + week
            for other in rows
        ))  # fmt: skip

    frame = frame[frame.resolved.notna()]
    return _lines(frame, "resolved", [once(case) for case in frame.to_dict("records")], 1)


def _attainment(events: Sequence[Event]) -> Frame:
    frame = target_frame(events)
    return _lines(frame, "at", frame.met.astype(int), 1)


def _first_response_mean(events: Sequence[Event]) -> Frame:
    frame = target_frame(events)
    frame = frame[frame.end & (frame.target == "first_response")]
    return _lines(frame, "finished", frame.seconds, 1)


def _repurchase(events: Sequence[Event]) -> Frame:
    frame = activity_frame(events)
    frame = frame[frame.kind.isin(["order", "repurchase"]) & (frame.customer != "")]
    firsts = []
    for _, orders in frame.groupby("customer"):
        first = orders.iloc[0].to_dict()
        again = len(orders) > 1 and orders.iloc[1]["at"] - first["at"] <= pd.Timedelta(days=90)
        firsts.append(first | {"numerator": int(again)})
    made = pd.DataFrame(firsts, columns=[*frame.columns, "numerator"])
    return _lines(made, "at", made.numerator, 1)


def _returns(events: Sequence[Event]) -> Frame:
    """Each return looks for its own shipment: in its order, or else among all of its customer and sku."""
    frame = activity_frame(events)
    some = frame[frame.quantity > 0].to_dict("records")
    sent = [one | {"numerator": 0, "n": one["quantity"]} for one in some if one["kind"] == "shipment"]
    for back in (one for one in some if one["kind"] == "return"):
        if back["order"]:
            near = [one for one in sent if one["order"] == back["order"]]
            near = [one for one in near if one["sku"] == back["sku"]] or near
        else:
            near = [one for one in sent if back["customer"]
                    and (one["customer"], one["sku"]) == (back["customer"], back["sku"])]  # fmt: skip
        before = [one for one in near if one["at"] <= back["at"]]
        if near:
            (before or near[:1])[-1]["numerator"] += back["quantity"]
    return pd.DataFrame(sent, columns=[*frame.columns, "numerator", "n"])


KPIS: dict[str, Lines] = {
    "feedback_volume": _feedback_volume, "nps": _nps, "csat": _csat, "case_volume": _case_volume,
    "backlog": _backlog, "reopen_rate": _reopen_rate, "first_contact_resolution": _first_contact,
    "sla_attainment": _attainment, "first_response_time": _first_response_mean,
    "repurchase_rate": _repurchase, "return_rate": _returns,
}  # fmt: skip


def series(name: str, events: Sequence[Event], by: Sequence[str], grain: str, zone: str) -> dict[Any, Figure]:
    """Numerator and n by (values of `by`, first local day of the period), periods without any left out."""
    frame = KPIS[name](events)
    if frame.empty:
        return {}
    local = pd.to_datetime(frame["at"], utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    begin = {
        "day": local.dt.floor("D"),
        "month": local.dt.to_period("M").dt.start_time,
        "week": local.dt.to_period("W-SUN").dt.start_time,
        "all": pd.Series(0, index=frame.index),
    }[grain]
    frame = frame.assign(period=begin)
    sums = frame.groupby([*by, "period"])[["numerator", "n"]].sum()
    keys = [key if isinstance(key, tuple) else (key,) for key in sums.index]
    return {
        (key[:-1], key[-1]): (int(a), int(n))
        for key, a, n in zip(keys, sums["numerator"], sums["n"], strict=True)
        if a or n
    }
