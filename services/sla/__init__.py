"""The service that owns promised times: one clock document per case, and the record of every escalation.

It reads CaseChanged and the database's clock, and says TargetBreached, TargetFinished, EscalationRaised.
"""
