"""Analytics: facts, the figures counted from them, and the KPIs that people read.

Owns feedback_facts, activity_facts, case_facts, target_facts, joint_facts, segments, days, chunks, words and
marks in MongoDB. Hears cqm.feedback.v1, cqm.activity.v1, cqm.cases.v1 and cqm.sla.v1; says nothing on Kafka.

A fact is stored together with what it counts for. What a batch counts is one segment, written in the same
fenced transaction; a compactor adds segments up by dimension and day. So a figure equals the one recomputed
from the facts (docs/promises.md P6).
"""
