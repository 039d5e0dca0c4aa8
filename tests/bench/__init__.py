"""`make bench`: what the system carries on this machine, each stage beside what its parts could do at best.

One run starts a real Kafka and a real MongoDB of its own in a folder of its own, three times:

1. doors.py: intake over HTTP, in turn with raw_intake.py, which only decodes and publishes: the limit.
2. stages.py: the consuming services one after the other; each drains what the one before it has said.
   Right behind each, raw.py moves the same records and documents again without any logic: the limit.
3. chain.py: all four at once behind intake, as fast as it goes, and then at half that rate for latencies.
"""
