"""The embedded runtime: a real Apache Kafka, a real MongoDB and the four services as supervised processes.

servers.start_servers   Kafka and MongoDB alone (what the tests use)
supervisor.Supervisor   everything, in the foreground of `cqm up`
daemon.start_daemon     the same in the background of `cqm up -d`; daemon.stop_instance is `cqm down`
instance.read_instance  what runs in a data folder: pid, addresses, processes
"""
