"""Pure decisions of routing: no I/O, time is an argument.

opening.py     feedback in: record it, open a case, or join one
assignment.py  a department's pool: who gets which case
lifecycle.py   what people do with a case, and what is legal now
escalation.py  what SLA asks for: raise the priority, give it to somebody else
past.py         what a case says of its own past, for clocks
case_file.py   a case with its bookkeeping, its next version, its history
"""
