"""The Dockerfile and the Compose file: linted, and complete. The containers of the image run in `make image`."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy_tools import DEPLOY, tool
from servers import ROOT
from shop.settings import ShopSettings

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
REPLICA: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.replica.yaml").read_text())


def test_the_dockerfile_passes_its_linter() -> None:
    result = tool("hadolint", DEPLOY / "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_compose_files_pass_their_linter() -> None:
    """All rules but those of the order and the quotes of keys."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = ROOT / "build/dclint"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).with_name(name), folder)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(install, cwd=folder, check=True, timeout=300)
    dclint, rules = folder / "node_modules/.bin/dclint", DEPLOY / "compose/dclint.json"
    command: list[str | Path] = [dclint, "--config", rules, DEPLOY / "compose.yaml", DEPLOY / "compose.replica.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "warning" not in result.stdout


def test_each_service_has_a_tag_a_health_check_and_waits_for_what_it_needs() -> None:
    """Fails if a service starts before the migrations, or runs an image that moves."""
    for name, service in SERVICES.items():
        assert re.search(r":[^:]*\d", service["image"]), name
        if not service["image"].startswith("shop:") or name in {"worker", "migrate"}:
            assert "healthcheck" in service, name  # the API has that of its image
        for needed, how in service.get("depends_on", {}).items():
            done = "service_completed_successfully" if needed == "migrate" else "service_healthy"
            assert how["condition"] == done, f"{name} and {needed}"
    for name in ("api-1", "api-2", "worker"):
        assert {"migrate", "postgres", "rabbitmq", "redis"} <= SERVICES[name]["depends_on"].keys()
        assert SERVICES[name]["read_only"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_each_mounted_file_is_in_the_repository_and_each_volume_is_declared() -> None:
    declared = {*COMPOSE["volumes"], *REPLICA["volumes"]}
    for service in (*SERVICES.values(), *REPLICA["services"].values()):
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith("./") else source in declared, mount


def test_every_secret_is_created_and_used(tmp_path: Path) -> None:
    """Fails if a service has a password in its environment, or a secret has no file."""
    script = tmp_path / "compose/create-secrets.sh"
    script.parent.mkdir()
    shutil.copy(DEPLOY / "compose/create-secrets.sh", script)
    subprocess.run([script], check=True)
    created = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    subprocess.run([script], check=True)
    assert created == {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for service in (*SERVICES.values(), *REPLICA["services"].values())
        for secret in service.get("secrets", [])
    }
    declared = COMPOSE["secrets"] | REPLICA["secrets"]
    assert used == declared.keys()
    assert {f"secrets/{name}" for name in created} == {each["file"] for each in declared.values()} | {
        "secrets/rabbitmq_password"  # a part of rabbitmq.conf and JOBS_URL
    }
    api = SERVICES["api-1"]
    environment = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in api["environment"].items()}
    settings = ShopSettings.load({**environment, "APP_ENV": "production"}, secrets_dir=tmp_path / "secrets")
    assert settings.drain_seconds == 10
    assert settings.database.url.get_secret_value().endswith("@postgres:5432/shop")
    assert not [name for service in SERVICES.values() for name in service.get("environment", {}) if "SECRET" in name]


def test_a_container_may_take_as_long_to_stop_as_it_drains() -> None:
    """Fails if the grace period is shorter: requests and jobs in progress are killed then."""
    drain = int(SERVICES["api-1"]["environment"]["DRAIN_SECONDS"])
    for name in ("api-1", "api-2", "worker"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= drain + 30


def test_nginx_gets_the_addresses_of_both_servers() -> None:
    """Fails if an address of nginx/restwell.conf is not replaced."""
    script: str = SERVICES["nginx"]["command"][2]
    upstreams = set(re.findall(r"^\s*server (\S+?):8000", (DEPLOY / "nginx/restwell.conf").read_text(), re.MULTILINE))
    replaced = dict(re.findall(r"s/(\S+?):/(\S+?):/", script))
    assert replaced.keys() == upstreams
    given = {SERVICES[name]["networks"]["default"]["ipv4_address"] for name in ("api-1", "api-2")}
    assert set(replaced.values()) == given


def test_the_commands_of_the_guide_are_those_that_tests_run() -> None:
    """Each command of docs/deployment.md is run by `make image`, or by the tests above."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert all(
        re.fullmatch(r"([A-Z_]+=\S+ )*make image|deploy/compose/create-secrets\.sh|docker compose .*", each)
        for each in commands
    )
    assert os.access(DEPLOY / "compose/create-secrets.sh", os.X_OK)
