from deploy.local.backoff import HEALTHY_SECONDS, MOST_SECONDS, Backoff


def test_a_process_that_keeps_dying_waits_twice_as_long_each_time_up_to_a_limit() -> None:
    backoff = Backoff()
    delays = [backoff.delay_after(0.1) for _ in range(9)]
    assert delays[:4] == [0.5, 1, 2, 4]
    assert delays[-2:] == [MOST_SECONDS, MOST_SECONDS]


def test_a_healthy_minute_forgets_earlier_failures() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.delay_after(1)
    assert backoff.delay_after(HEALTHY_SECONDS) == 0.5
    assert backoff.delay_after(1) == 1
