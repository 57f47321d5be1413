"""A circuit breaker: after repeated failures, callers fail immediately, and one caller per pause retries."""

import time
from typing import Final

import structlog

log = structlog.get_logger("restwell.circuit_breaker")

FAILURES: Final = 5
PAUSE_SECONDS: Final = 1.0


class CircuitBreaker:
    """Opens after FAILURES consecutive failures. While open, one caller per PAUSE_SECONDS may try; a success closes it.

    ``failures`` counts consecutive failures. At 0, ``succeeded`` need not be called.
    """

    __slots__ = ("_name", "_retry_at", "failures")

    def __init__(self, name: str) -> None:
        self._name = name
        self.failures = 0
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        return self.failures >= FAILURES

    def allows(self) -> bool:
        """Whether this caller may try. While open, returns True once per PAUSE_SECONDS."""
        if self.failures < FAILURES:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + PAUSE_SECONDS
        return True

    def succeeded(self) -> None:
        if self.failures >= FAILURES:
            log.warning("circuit_breaker_closed", name=self._name)
        self.failures = 0

    def failed(self) -> None:
        self.failures += 1
        if self.failures == FAILURES:
            self._retry_at = time.monotonic() + PAUSE_SECONDS
            log.warning("circuit_breaker_opened", name=self._name, failures=FAILURES)
