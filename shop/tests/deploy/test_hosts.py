"""The files of deploy/ for machines without Kubernetes fit the shop."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy_tools import DEPLOY, SECRETS, constant, tool
from servers import NEEDS
from shop.app import create_app
from shop.settings import ShopSettings

NGINX: Final = (DEPLOY / "nginx/restwell.conf").read_text()
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
MIB: Final = 2**20
MARGIN: Final = 10
START_SECONDS: Final = 60
"""What a server may take to start, as in Kubernetes."""

pytestmark = pytest.mark.integration


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
    assert upstream < float(environment()["DRAIN_SECONDS"])
    assert upstream < ShopSettings().keepalive_seconds


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_unit_and_finds_it_confined(unit: Path, tmp_path: Path) -> None:
    """Fails with ``ProtectSystems=`` or without the sandbox. Nothing here runs under systemd."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip(f"{NEEDS}: systemd-analyze (apt-get install systemd)")
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace("/srv/shop/.venv/bin/restwell", str(Path(sys.executable))))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(installed)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(installed)]
    rated = subprocess.run(security, capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout


def test_a_service_has_the_time_that_its_process_takes_to_stop() -> None:
    """Fails with TimeoutStopSec=45: systemd kills requests in progress."""
    api, worker = (dict(re.findall(r"^(\w+)=(.+)$", unit.read_text(), re.MULTILINE)) for unit in UNITS)
    drain = float(environment()["DRAIN_SECONDS"])
    assert drain + constant("_child_processes.py", "STOP_SECONDS") + MARGIN <= float(api["TimeoutStopSec"])
    (drain,) = (float(value) for value in re.findall(r"--drain-seconds=(\d+)", worker["ExecStart"]))
    assert drain + constant("_supervisor.py", "KILL_SECONDS") + MARGIN <= float(worker["TimeoutStopSec"])
    assert float(api["TimeoutStartSec"]) >= START_SECONDS


def test_the_environment_of_the_services_is_accepted_in_production(tmp_path: Path) -> None:
    """Fails if a setting is misspelled, or the credential of a required one is missing."""
    for unit in UNITS:
        credentials = re.findall(r"^LoadCredential=(\w+):/etc/shop/secrets/\1$", unit.read_text(), re.MULTILINE)
        assert set(credentials) == SECRETS.keys()
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value)
    given = environment() | {"METRICS_DIR": str(tmp_path)}  # it must exist
    found = ShopSettings.load(given, secrets_dir=tmp_path)
    assert found.fallbacks() == {}
    assert given.keys() <= {"_".join(path).upper() for path in ShopSettings.paths()} | {"RESTWELL_APP"}


def test_caddy_accepts_its_configuration() -> None:
    file = DEPLOY / "caddy/Caddyfile"
    validated = tool("caddy", "validate", "--adapter", "caddyfile", "--config", file)
    assert validated.returncode == 0, validated.stderr
    assert tool("caddy", "fmt", file).stdout == file.read_text()


def environment() -> dict[str, str]:
    return dict(re.findall(r'^(\w+)="?(.*?)"?$', (DEPLOY / "systemd/config.env").read_text(), re.MULTILINE))
