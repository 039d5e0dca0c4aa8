"""Routing: opens cases, gives each one responsible person, and carries out what people do with them.

Owns cases, case_history, pools and feedback in MongoDB; says CaseChanged and AssignmentRequested.
"""
