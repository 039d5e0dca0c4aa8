"""Analytics: facts, the figures counted from them, and the KPIs that people read.

Owns feedback_facts, activity_facts, case_facts, target_facts, rollups and marks in MongoDB. Hears
cqm.feedback.v1, cqm.activity.v1, cqm.cases.v1 and cqm.sla.v1; says nothing on Kafka.

A fact is stored together with what it counts for, and hourly rollups move by exactly the difference
between a fact's old and new count, in the same fenced transaction. So a figure read from the rollups
equals the one recomputed from the facts (docs/promises.md P6).
"""
