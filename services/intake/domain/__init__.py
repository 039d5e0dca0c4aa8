"""Pure decisions of intake: what a sender may say (inputs), whether it is right (reading, diagnosis, checks),
and which event it becomes (signals)."""
