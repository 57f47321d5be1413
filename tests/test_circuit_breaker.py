"""The circuit breaker: when callers fail immediately, and when one of them retries."""

import time

import pytest
from structlog.testing import capture_logs

from restwell import _circuit_breaker
from restwell._circuit_breaker import FAILURES, CircuitBreaker

PAUSE_SECONDS = 0.05


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> CircuitBreaker:
    monkeypatch.setattr(_circuit_breaker, "PAUSE_SECONDS", PAUSE_SECONDS)
    return CircuitBreaker("redis")


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        assert breaker.allows()
        breaker.failed()


def test_after_repeated_failures_one_caller_per_pause_may_try(breaker: CircuitBreaker) -> None:
    """Breaks when the pause begins only with the first retry, and when a retry does not begin another pause."""
    fail(breaker, FAILURES)
    assert [breaker.allows() for _ in range(3)] == [False] * 3
    for _ in range(2):
        time.sleep(PAUSE_SECONDS)
        assert [breaker.allows() for _ in range(3)] == [True, False, False]
        breaker.failed()


def test_only_consecutive_failures_open_the_breaker(breaker: CircuitBreaker) -> None:
    """Breaks when a success does not reset the count."""
    fail(breaker, FAILURES - 1)
    breaker.succeeded()
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open
    assert breaker.allows()


def test_a_success_closes_the_breaker_for_all_callers(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES)
    breaker.succeeded()
    assert (breaker.is_open, breaker.failures) == (False, 0)
    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_each_change_of_the_breaker_is_logged_once(breaker: CircuitBreaker) -> None:
    """Breaks when each failure of an open breaker is logged: an outage would then fill the log."""
    with capture_logs() as logged:
        fail(breaker, FAILURES)
        breaker.failed()
        breaker.succeeded()
        breaker.succeeded()
    assert [(line["event"], line["name"]) for line in logged] == [
        ("circuit_breaker_opened", "redis"),
        ("circuit_breaker_closed", "redis"),
    ]
