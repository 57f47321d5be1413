"""The order of the edge: what each hook needs from those before it."""

import pytest
from pydantic import SecretStr

from restwell import Restwell
from restwell.settings import CorsSettings, DatabaseSettings, RateLimitSettings, Settings
from servers import free_port

REPLICA = SecretStr("postgresql://u@127.0.0.1:1/d")
EVERY = [
    "AccessLog",
    "RequestId",
    "SecurityHeaders",
    "Cors",
    "HeaderFields",
    "ClientAddress",
    "UrlLimit",
    "CanonicalPath",
    "Preflight",
    "Routing",
    "RateLimit",
    "CachedResponses",
    "LogContext",
    "QueryBudget",
    "ReadYourWrites",
    "Deadlines",
    "CacheLoads",
    "ConcurrencyLimiter",
]


def hooks(settings: Settings) -> list[str]:
    return [type(hook).__name__ for hook in Restwell(settings, name="hooks").app([])._edge._hooks]


@pytest.fixture
def everything(tiny_settings: Settings) -> Settings:
    url = SecretStr(f"postgresql://u@127.0.0.1:{free_port()}/d")
    changes = {
        "cors": CorsSettings(origins=("https://app.test",)),
        "trusted_hops": 1,
        "database": DatabaseSettings(url=url, replica_urls=(REPLICA,)),
    }
    return tiny_settings.model_copy(update=changes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("AccessLog", "RequestId", id="a rejected request is logged too"),
        pytest.param("RequestId", "HeaderFields", id="an error response has an id"),
        pytest.param("SecurityHeaders", "UrlLimit", id="an error response has security headers"),
        pytest.param("Cors", "RateLimit", id="the page of another origin may read a 429"),
        pytest.param("HeaderFields", "ClientAddress", id="a repeated Forwarded header is read whole"),
        pytest.param("ClientAddress", "RateLimit", id="the client is counted, not its proxy"),
        pytest.param("UrlLimit", "Routing", id="no long path is searched"),
        pytest.param("CanonicalPath", "Routing", id="no other spelling finds a route"),
        pytest.param("Preflight", "Routing", id="OPTIONS of a preflight is not that of the route"),
        pytest.param("Routing", "RateLimit", id="a route has its own rate"),
        pytest.param("RateLimit", "CachedResponses", id="cached responses count"),
        pytest.param("CachedResponses", "QueryBudget", id="a cached response costs nothing more"),
        pytest.param("Deadlines", "CacheLoads", id="waiting for another load has a timeout"),
        pytest.param("Deadlines", "ConcurrencyLimiter", id="waiting for a slot has a timeout"),
        pytest.param("CacheLoads", "ConcurrencyLimiter", id="requests that wait for one load hold one slot"),
    ],
)
def test_a_hook_runs_after_those_that_it_needs(everything: Settings, before: str, after: str) -> None:
    order = hooks(everything)
    assert order.index(before) < order.index(after)


def test_hooks_that_the_settings_do_not_need_are_left_out(tiny_settings: Settings, everything: Settings) -> None:
    """Breaks when each request pays for what is switched off."""
    assert hooks(everything) == EVERY
    optional = {"Cors", "ClientAddress", "Preflight", "ReadYourWrites"}
    assert hooks(tiny_settings) == [name for name in EVERY if name not in optional]
    without = tiny_settings.model_copy(update={"rate_limit": RateLimitSettings(scale=0)})
    assert "RateLimit" not in hooks(without)
