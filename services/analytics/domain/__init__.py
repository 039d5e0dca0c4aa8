"""What the figures mean, as pure functions: events to facts, facts to counts, counts to figures.

catalogue.py, definitions.py   what each KPI is      feedback.py, activity.py, cases.py, targets.py   topics
tallies.py   what is counted, by which dimensions    joints.py   what several events say together
rows.py      what a fact counts, and corrections     periods.py, figures.py   counts to points of a series
recompute.py a figure counted anew from facts      freshness.py   how far figures are complete
reports.py   KPIs side by side, and Paretos        customers.py   everything of one customer
"""
