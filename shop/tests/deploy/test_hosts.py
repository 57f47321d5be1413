"""The files of deploy/ for machines without Kubernetes fit the shop."""

import re
from typing import Final

from deploy_tools import DEPLOY
from shop.app import create_app
from shop.settings import ShopSettings

NGINX: Final = (DEPLOY / "nginx/restwell.conf").read_text()
MIB: Final = 2**20


def seconds(name: str) -> list[int]:
    return [int(value) for value in re.findall(rf"^ +{name} (\d+)s;", NGINX, re.MULTILINE)]


def test_nginx_waits_longer_than_each_route_may_take() -> None:
    """Fails with its default of 60 s: nginx would answer first, and the request would go on."""
    (wait,) = seconds("proxy_read_timeout")
    deadlines = [route.timeout_seconds for route in create_app(ShopSettings()).routes]
    assert max(deadline for deadline in deadlines if deadline) < wait


def test_nginx_lets_the_largest_body_pass() -> None:
    """Fails with 10m: the form around an image of 10 MiB is larger."""
    (size,) = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    largest = max(route.max_body_bytes or 0 for route in create_app(ShopSettings()).routes)
    assert largest < int(size) * MIB <= largest + 2 * MIB


def test_nginx_closes_idle_connections_before_a_server_stops() -> None:
    """Fails with the default of 60 s: nginx would send a request on a connection that the server closes."""
    upstream, _ = seconds("keepalive_timeout")
    environment = (DEPLOY / "kubernetes/components/environment/config.env").read_text()
    (drain,) = re.findall(r"^DRAIN_SECONDS=(\d+)$", environment, re.MULTILINE)
    assert upstream < int(drain)
