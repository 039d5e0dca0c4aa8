"""Intake: takes signals in over HTTP, checks them, and says FeedbackReceived and ActivityRecorded on Kafka.

Stateless: an identity comes from what the sender names (source and external id, or an Idempotency-Key), and
202 is answered only after Kafka acknowledged the record. docs/intake.md tells rules, limits and answers.
"""
