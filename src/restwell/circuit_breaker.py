"""A circuit breaker: what keeps failing is left alone for a moment, so that callers fail at once instead of waiting in line."""

import time
from typing import Final

import structlog

log = structlog.get_logger("restwell.circuit_breaker")

FAILURES: Final = 5
PAUSE_SECONDS: Final = 1.0


class CircuitBreaker:
    """Open after FAILURES failures in a row; then, once each PAUSE_SECONDS, one caller may try, and a success closes it.

    ``failures`` counts those in a row; at 0 there is nothing to report as ``succeeded``.
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
        """Whether this caller may try. While open that is one caller a pause, who tries for all."""
        if self.failures < FAILURES:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + PAUSE_SECONDS
        return True

    def succeeded(self) -> None:
        if self.failures >= FAILURES:
            log.warning("breaker_closed", of=self._name)
        self.failures = 0

    def failed(self) -> None:
        self.failures += 1
        if self.failures == FAILURES:
            self._retry_at = time.monotonic() + PAUSE_SECONDS
            log.warning("breaker_opened", of=self._name, failures=FAILURES)
