"""How CQM is put on a machine: the `cqm` command, the embedded runtime, containers and sample policy."""
