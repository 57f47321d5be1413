"""The rate limiter: its rates, and its metrics."""

import pytest

from restwell.rate_limits import Rate
from restwell.rate_limits._limiter import RateLimiter, RateLimitStore
from restwell.rate_limits._rate import RateLimitResult

GUESSES = Rate("guesses", 5, seconds=60)


class FullStore(RateLimitStore):
    """Allows only the client ``ada``, and answers the client ``slow`` only if it is awaited."""

    degraded = True

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        return None if client_key == "slow" else RateLimitResult(rate, 0, 1, allowed=client_key == "ada")

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult:
        return RateLimitResult(rate, 0, 1, allowed=client_key == "ada")


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter(FullStore(), scale=2, reads=(100, 60), writes=(10, 60))


def samples(limiter: RateLimiter) -> dict[str, float]:
    return {
        f"{sample.name} {sample.labels.get('rate', '')}".strip(): sample.value
        for metric in limiter.collect()
        for sample in metric.samples
    }


async def test_rejections_are_counted_by_rate(limiter: RateLimiter) -> None:
    """Breaks when only the rejections without I/O count, and when allowed requests count."""
    assert limiter.count_nowait(GUESSES, "slow") is None
    await limiter.count(GUESSES, "slow")
    for client in ("ada", "grace", "grace"):
        limiter.count_nowait(limiter.reads, client)
        await limiter.count(GUESSES, client)
    assert samples(limiter) == {
        "restwell_rate_limited_total guesses": 3,
        "restwell_rate_limited_total reads": 2,
        "restwell_rate_limits_degraded": 1,
    }


def test_the_scale_multiplies_the_count_of_a_rate(limiter: RateLimiter) -> None:
    assert (limiter.reads, limiter.writes) == (Rate("reads", 100, 60), Rate("writes", 10, 60))
    assert limiter.scaled(GUESSES) == Rate("guesses", 10, seconds=60)
