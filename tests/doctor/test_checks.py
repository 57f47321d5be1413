"""``restwell doctor`` finds each planted fault, and nothing in a healthy application. All servers are real."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Final

import asyncpg
import pytest

from cases import each
from mail_server import mail_server, make_certificate
from planted_faults import FAULTS, PASSWORD, TINY_DISK, Clinic, Fault, migrate, planted
from restwell.database import Migrations, open_database
from servers import NEEDS, SUPPORT, RedisServer, free_port, postgres, restwell
from tiny.app import MIGRATIONS

pytestmark = pytest.mark.integration

SECONDS: Final = 60


@pytest.fixture(scope="module")
async def clinic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clinic]:
    folder = tmp_path_factory.mktemp("doctor") / "folder"
    folder.mkdir()
    (folder / "secrets").mkdir()
    server = RedisServer(folder, "--requirepass", PASSWORD)
    certificate = make_certificate(folder)
    server.start()
    try:
        with postgres(None, "-cfsync=on") as database, mail_server(certificate, starts_tls=True) as mail:
            found = Clinic(folder, database, server, mail.port)
            await found.sql("postgres", "CREATE DATABASE template")
            async with open_database(found.url("template"), 1) as opened:
                await Migrations(MIGRATIONS).upgrade(opened)
            yield found
    finally:
        server.stop()


def test_a_healthy_application_has_no_finding(clinic: Clinic) -> None:
    """Fails if a check reports what is right."""
    assert clinic.doctor() == (0, [])


def test_an_application_without_servers_has_no_finding(clinic: Clinic, tmp_path: Path) -> None:
    """The state after the first ``restwell migrate``, in development and without any setting."""
    environment = {"RESTWELL_APP": "doctor_app:healthy", "PYTHONPATH": str(SUPPORT), "PORT": clinic.environment["PORT"]}
    assert restwell("migrate", cwd=tmp_path, **environment).returncode == 0
    found = restwell("doctor", cwd=tmp_path, **environment)
    assert (found.returncode, found.stdout) == (0, "21 checks, 0 findings\n")


def short(place: str, clinic: Clinic) -> str:
    path = Path(place.partition(", line")[0])
    return (
        str(path.relative_to(clinic.folder))
        if path.is_relative_to(clinic.folder)
        else path.name
        if path.is_absolute()
        else str(path)
    )


@each("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_each_planted_fault_is_the_only_finding(clinic: Clinic, fault: Fault) -> None:
    """Fails if its check is removed from the list of checks, and if a fault has a second finding."""
    if fault.prefix == TINY_DISK and os.geteuid() != 0:
        pytest.skip(f"{NEEDS}: root, to mount a file system")
    async with planted(fault, clinic) as environment:
        code, findings = clinic.doctor(*fault.prefix, **environment)
        found = [(each["level"], short(each["place"], clinic)) for each in findings]
        assert found == [(fault.level, place) for place in fault.place.split(",")], findings
        assert all(fault.message in each["message"] for each in findings), findings
        assert code == (fault.level != "hint")


async def test_a_server_that_is_not_durable_is_found(clinic: Clinic, postgres_server: str) -> None:
    """The shared server of the tests runs without fsync."""
    name = f"doctor_{free_port()}"
    connection = await asyncpg.connect(postgres_server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        environment = {"DATABASE_URL": f"{postgres_server.rpartition('/')[0]}/{name}"}
        await migrate(environment)
        code, findings = clinic.doctor(**environment)
        assert code == 1
        assert [each["message"] for each in findings] == [
            "fsync is off: a crash of the machine may destroy the database. Set fsync = on in postgresql.conf."
        ]
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.close()


def test_a_broker_is_checked(clinic: Clinic, rabbit_url: str) -> None:
    assert clinic.doctor(JOBS_URL=rabbit_url) == (0, [])
    code, findings = clinic.doctor(JOBS_URL=rabbit_url.replace("guest:guest", f"guest:{PASSWORD}"))
    assert code == 1
    assert [(each["level"], each["place"]) for each in findings] == [("error", "JOBS_URL")]
    assert "rabbitmqctl" in findings[0]["message"]


def test_servers_that_hang_delay_the_report_for_a_limited_time(clinic: Clinic) -> None:
    """Fails if a check waits for an answer without a limit."""
    clinic.redis.freeze()
    clinic.postgres.freeze()
    try:
        begin = monotonic()
        code, findings = clinic.doctor()
        assert monotonic() - begin < SECONDS
    finally:
        clinic.postgres.thaw()
        clinic.redis.thaw()
    assert code == 1
    assert {each["place"] for each in findings} == {"DATABASE_URL", "REDIS_URL"}
