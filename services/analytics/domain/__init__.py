"""What the figures mean, as pure functions: events to facts, facts to counts, counts to figures.

catalogue.py  what each KPI is           feedback.py, activity.py, cases.py, targets.py  one topic each
rollups.py    a fact's count, and deltas  periods.py, figures.py  hours to points of a series
"""
