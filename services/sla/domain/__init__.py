"""Promised times as values (docs/domain.md 3): what was promised, where a clock stands, what is due now.

pauses      working time less the spans in which a case waited
promise     what the policy promises a case: targets and escalation steps in business seconds
clock       the clock document of a case, and what it says about a moment
steps       which of its steps have fired, perhaps by another promise
following   the clock after the newest snapshot of its case
escalation  what has come due by a moment
"""
