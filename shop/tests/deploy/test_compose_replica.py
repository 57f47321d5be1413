"""deploy/compose.replica.yaml: its commands copy a primary, follow it, and the API reads from the copy."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
import yaml

from deploy_tools import DEPLOY
from order_load import http_client
from servers import (
    NEEDS,
    RESTWELL,
    Postgres,
    free_port,
    ordinary_user,
    postgres,
    postgres_programs,
    restwell,
    serve,
    wait_until,
)

pytestmark = pytest.mark.integration

OVERRIDE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.replica.yaml").read_text())
SERVICES: Final[dict[str, Any]] = OVERRIDE["services"]
ACTIVE: Final = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%FROM products%'"


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the user of PostgreSQL may enter, with the secrets that the script creates."""
    with tempfile.TemporaryDirectory(prefix="restwell-compose-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "compose").mkdir()
        script = shutil.copy(DEPLOY / "compose/create-secrets.sh", folder / "compose")
        subprocess.run([script], check=True)
        yield folder


@pytest.fixture
def primary(folder: Path) -> Iterator[Postgres]:
    """With the options of its service, a role as the image creates it, and a way in for this test."""
    if postgres_programs() is None:
        pytest.skip(f"{NEEDS}: PostgreSQL (apt-get install postgresql)")
    rules = folder / "pg_hba.conf"
    rules.write_text("host all restwell 127.0.0.1/32 trust\n" + (DEPLOY / "compose/pg_hba.conf").read_text())
    program, *options = SERVICES["postgres"]["command"]
    assert program == "postgres"
    with postgres(None, *(each.replace("/etc/pg_hba.conf", str(rules)) for each in options)) as server:
        password = (folder / "secrets/postgres_password").read_text().strip()
        server.run_sql(f"CREATE ROLE shop SUPERUSER LOGIN PASSWORD '{password}'")
        server.run_sql("CREATE DATABASE shop OWNER shop")
        yield server


@contextmanager
def replica(folder: Path, primary: Postgres) -> Iterator[int]:
    """The port of a server that the command of the service has started."""
    port = free_port()
    own = folder / "replica"
    own.mkdir(exist_ok=True)
    _, as_owner = ordinary_user(own)
    programs = postgres_programs()
    shell, option, script = SERVICES["replica"]["command"]
    for old, new in (
        ("$$", "$"),
        ("/run/secrets", str(folder / "secrets")),
        ("--host=postgres", f"--host=127.0.0.1 --port={primary.port}"),
        ("exec postgres", f"exec postgres -p {port} -k {own} -c fsync=off"),
    ):
        assert old in script
        script = script.replace(old, new)
    data = own / "data"
    if not data.exists():
        subprocess.run([*as_owner, "mkdir", data], check=True)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PGDATA": str(data)}
    kind, *healthy = SERVICES["replica"]["healthcheck"]["test"]
    assert kind == "CMD"
    with (own / "log").open("ab") as log:
        process = subprocess.Popen([*as_owner, shell, option, script], env=environment, stdout=log, stderr=log)
    try:
        wait_until(
            lambda: subprocess.run([*healthy, f"--port={port}"], env=environment, check=False).returncode == 0, process
        )
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


async def ask(url: str, port: int, statement: str) -> Any:
    connection = await asyncpg.connect(re.sub(r"@\w+:\d+/", f"@127.0.0.1:{port}/", url))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_the_replica_follows_and_the_api_reads_from_it(tmp_path: Path, folder: Path, primary: Postgres) -> None:
    """Fails without the line for replication in pg_hba.conf, or if the API does not get DATABASE_REPLICA_URLS."""
    secrets = folder / "secrets"
    url = (secrets / "DATABASE_REPLICA_URLS").read_text()
    with replica(folder, primary) as port:
        (secrets / "DATABASE_URL").write_text(re.sub(r"@.*/", f"@127.0.0.1:{primary.port}/", url))
        (secrets / "DATABASE_REPLICA_URLS").write_text(re.sub(r"@.*/", f"@127.0.0.1:{port}/", url))
        for name in {"JOBS_URL", "REDIS_URL", "DATABASE_REPLICA_URLS"} - {*OVERRIDE["x-reads"]["secrets"]}:
            (secrets / name).unlink()
        settings = {"SECRETS_DIR": str(secrets), "RESTWELL_APP": "shop.app:shop", "CACHE": "off"}
        settings |= {"PAYMENTS_URL": f"fake:///{tmp_path / 'payments.db'}", "SMTP_URL": f"folder:{tmp_path / 'mail'}"}
        for command in ("migrate", "seed"):
            restwell(command, cwd=tmp_path, **settings).check_returncode()
        async with asyncio.timeout(30):
            while not await ask(url, port, "SELECT to_regclass('products') IS NOT NULL"):
                await asyncio.sleep(0.1)
        with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as served:
            async with http_client(served.url) as client:
                assert (await client.get("/v2/products?limit=5")).status_code == 200
            assert await ask(url, port, ACTIVE) > 0
            assert await ask(url, primary.port, ACTIVE) == 0
    with replica(folder, primary) as port:  # started again, it does not copy again
        assert await ask(url, port, "SELECT pg_is_in_recovery()")
        assert await ask(url, primary.port, "SELECT count(*) FROM pg_stat_replication") == 1
