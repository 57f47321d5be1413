"""Quota leases: what a process may spend without asking the store."""

import time

import pytest

from restwell.rate_limits import Rate
from restwell.rate_limits import _quota_leases as quota_leases
from restwell.rate_limits._quota_leases import QuotaLeases
from restwell.rate_limits._rate import NANOSECONDS

RATE = Rate("reads", 100, seconds=60)


def test_a_lease_is_spent_one_request_at_a_time_and_then_the_store_is_asked() -> None:
    """Breaks when the first request is not taken from the lease: a process would allow one more than it leased."""
    leases, now = QuotaLeases(), time.monotonic_ns()
    granted = leases.grant(RATE, "ada", 3, 20, now + 50 * NANOSECONDS, now + 60 * NANOSECONDS)
    spent = [leases.spend(RATE, "ada") for _ in range(3)]
    assert granted.remaining == 22
    assert [one and (one.remaining, one.allowed) for one in spent] == [(21, True), (20, True), None]
    assert leases.spend(RATE, "grace") is None
    assert leases.spend(Rate("writes", 100, seconds=60), "ada") is None


def test_a_rejected_client_is_rejected_until_its_next_request_is_allowed() -> None:
    """Breaks when each request of a rejected client asks the store."""
    leases, until = QuotaLeases(), time.monotonic_ns() + NANOSECONDS // 20
    assert not leases.reject(RATE, "ada", until).allowed
    refused = leases.spend(RATE, "ada")
    assert refused is not None
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 1)
    time.sleep(0.06)
    assert leases.spend(RATE, "ada") is None


def test_a_lease_that_has_expired_is_not_spent() -> None:
    leases, now = QuotaLeases(), time.monotonic_ns()
    leases.grant(RATE, "ada", 3, 20, now, now)
    assert leases.spend(RATE, "ada") is None


def test_the_number_of_leases_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the leases of clients that never return are not removed."""
    monkeypatch.setattr(quota_leases, "MAX_LEASES", 10)
    leases, later = QuotaLeases(), time.monotonic_ns() + 60 * NANOSECONDS
    for number in range(100):
        leases.grant(RATE, f"granted {number}", 3, 20, later, later)
        leases.reject(RATE, f"rejected {number}", later)
    kept = [leases.spend(RATE, f"{kind} {number}") for kind in ("granted", "rejected") for number in range(100)]
    assert 0 < sum(one is not None for one in kept) <= 10
