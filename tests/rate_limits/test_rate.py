"""The arithmetic of a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restwell.rate_limits import Rate
from restwell.rate_limits._rate import NANOSECONDS, spend


@given(
    st.integers(1, 1_000),
    st.integers(1, 600),
    st.lists(st.integers(0, 30 * NANOSECONDS), min_size=1, max_size=300),
)
def test_no_interval_allows_more_than_its_burst_and_refill(count: int, seconds: int, pauses: list[int]) -> None:
    """Breaks with a fixed window, which allows twice the rate around its boundary."""
    rate = Rate("any", count, seconds)
    full_at, now, begin, taken = 0, 10**15, 10**15, 0
    for pause in pauses:
        now += pause
        full_at, result = spend(rate, full_at, now)
        taken += result.allowed
        assert taken <= count + (now - begin) // rate.interval_ns
        if not result.allowed:
            assert spend(rate, full_at, now + result.reset_seconds * NANOSECONDS)[1].allowed, (
                "a request after reset_seconds is allowed"
            )
            assert result.remaining == 0
        else:
            remaining = result.remaining
            assert remaining == 0 or spend(Rate("any", count, seconds), full_at, now)[1].remaining == remaining - 1
        later = spend(rate, full_at, now + result.reset_seconds * NANOSECONDS + seconds * NANOSECONDS)[1]
        assert later.remaining == count - 1, "the quota is full"


@pytest.mark.parametrize(("factor", "count"), [(2.0, 20), (0.25, 2), (0.001, 1)])
def test_a_scaled_rate_allows_at_least_one_request(factor: float, count: int) -> None:
    """Breaks when a small factor makes a rate of zero, which divides by zero."""
    scaled = Rate("reads", 10, seconds=60).scaled(factor)
    assert scaled == Rate("reads", count, seconds=60)
    assert scaled.interval_ns == 60 * NANOSECONDS // count
