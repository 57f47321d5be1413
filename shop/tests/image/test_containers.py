"""The API, the worker and the migrations in containers, over PostgreSQL. `make image` runs these."""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import asyncpg
import httpx
import pytest

from containers import IMAGE, Container, Deployment, inspect
from scoreboard import Score
from servers import TLS, free_port, wait_until
from shop_client import ShopClient

pytestmark = pytest.mark.system

MOMENTS = (0.0, 0.3, 1.0, 2.0)
ALL_MOMENTS = tuple(number / 10 for number in range(25))
DRAIN_SECONDS = 3
GRACE_SECONDS = DRAIN_SECONDS + 30


@pytest.fixture(scope="module")
def deployment(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Settings of production, with the secrets in files, and a database with the demo catalogue."""
    name = f"image_{uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(postgres_server)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    deployment = Deployment(
        tmp_path_factory.mktemp("image"),
        HOST="127.0.0.1",
        APP_URL="https://shop.example.com",
        MAIL_FROM="shop@shop.example.com",
        SMTP_URL="folder:/data/mail",
        PAYMENTS_URL="fake:////data/payments.db",
        DRAIN_SECONDS=str(DRAIN_SECONDS),
    )
    url = postgres_server.rpartition("/")[0] + f"/{name}"
    for setting, value in (("DATABASE_URL", url), ("JWT_SECRET", os.urandom(48).hex())):
        (deployment.secrets / setting).write_text(value)
    migrated = deployment.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    assert migrated.stdout.startswith("empty -> ")
    seeded = deployment.run("seed", APP_ENV="development")
    assert (seeded.returncode, seeded.stdout) == (0, "1,000 products\n"), seeded.stderr
    return deployment


class Api(Container):
    """The API, in a container."""

    url: str

    def status_of(self, path: str) -> int | None:
        """None if it does not answer."""
        try:
            return httpx.get(f"{self.url}{path}", timeout=5, verify=TLS).status_code
        except httpx.TransportError:
            return None


@pytest.fixture
def api(deployment: Deployment) -> Iterator[Api]:
    with serving(deployment) as api:
        yield api


@contextmanager
def serving(deployment: Deployment, **settings: str) -> Iterator[Api]:
    port = str(free_port())
    with deployment.start(PORT=port, **settings) as container:
        api = Api(container.name)
        api.url = f"http://127.0.0.1:{port}"
        polls = itertools.count(1)  # not each asks the engine: that takes more of the processor than the start
        wait_until(lambda: api.status_of("/health/ready") == 200 or (next(polls) % 50 == 0 and bool(api.exit_code)))
        assert api.exit_code is None, api.logs
        yield api


def test_migrations_are_done_and_production_seeds_nothing(deployment: Deployment) -> None:
    assert deployment.run("migrate").stdout == "nothing to migrate\n"
    assert deployment.run("seed").returncode == 2


def test_a_container_without_settings_names_all_that_are_missing(deployment: Deployment) -> None:
    (deployment.secrets / "JWT_SECRET").rename(deployment.secrets / "other")
    try:
        refused = deployment.run("serve", SMTP_URL="")
    finally:
        (deployment.secrets / "other").rename(deployment.secrets / "JWT_SECRET")
    assert refused.returncode == 2
    assert "JWT_SECRET" in refused.stderr
    assert "SMTP_URL" in refused.stderr


async def test_an_order_is_placed_and_paid_and_the_images_of_a_product_are_resized(
    deployment: Deployment, api: Api
) -> None:
    """Fails if a library of the worker is missing in the image, or FILES_DIR cannot be written."""
    with deployment.start("worker", "--liveness-file=/tmp/alive") as worker:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
            buyer = await ShopClient(client).sign_in("customer1@shop.example")
            product = await buyer.first_product()
            order = (await buyer.order("key", (product["id"], 2))).json()
            async with asyncio.timeout(60):
                while (await buyer.get(f"/v1/orders/{order['id']}")).json()["status"] != "paid":
                    await asyncio.sleep(0.2)
        assert worker.execute("python", "-c", "import os; os.stat('/tmp/alive')").returncode == 0
        worker.signal("TERM")
        assert worker.wait() == 0, worker.logs


def test_the_health_check_of_the_image_tells_whether_the_server_lives(api: Api) -> None:
    image = inspect("image", IMAGE)
    check = image["Config"].get("Healthcheck") or image["Healthcheck"]  # of docker, of podman
    kind, *command = check["Test"]
    assert kind == "CMD"
    assert (healthy := api.execute(*command)).returncode == 0, healthy.stderr
    for process in api.processes().keys() - {1}:
        api.execute("python", "-c", f"import os; os.kill({process}, 19)")  # SIGSTOP
    assert api.execute(*command).returncode != 0


async def test_sigterm_drains(api: Api) -> None:
    """Fails if process 1 does not forward the signal, or the server stops at once."""
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        assert "connection" not in (await client.get("/v2/products")).headers
        api.signal("TERM")
        async with asyncio.timeout(20):
            while (await client.get("/health/ready")).status_code != 503:
                await asyncio.sleep(0.05)
        answer = await client.get("/v2/products")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert api.wait() == 0, api.logs
    assert "refused to gracefully stop" not in api.logs


def test_the_second_sigterm_ends_the_server_at_once(deployment: Deployment) -> None:
    with serving(deployment, DRAIN_SECONDS="60") as api:
        api.signal("TERM")
        wait_until(lambda: api.status_of("/health/ready") == 503)
        began = time.monotonic()
        api.signal("TERM")
        assert api.wait() == 0, api.logs
        assert time.monotonic() - began < 30


@pytest.mark.scoreboard(
    "K1",
    "image: read-only root, non-root, SIGTERM as process 1 at any moment of its start",
    "ready <= 3 s; stops <= grace; 0 failed requests",
)
async def test_a_container_starts_soon_and_ends_on_sigterm_at_any_moment(deployment: Deployment, score: Score) -> None:
    """Fails if process 1 imports anything before it handles signals (the kernel drops them until then), without byte
    code in the image, or with DRAIN_SECONDS=0.
    """
    stops = []
    for command in ("serve", "worker"):
        for moment in score.size(MOMENTS, ALL_MOMENTS):
            with deployment.start(command, PORT=str(free_port())) as container:
                container.wait_for_python()
                await asyncio.sleep(moment)
                stops.append(stop(container))
    assert max(stops) < GRACE_SECONDS
    starts, requests = [], 0
    for _ in range(score.size(1, 5)):
        began = time.monotonic()
        with serving(deployment) as api:
            starts.append(time.monotonic() - began)
            requests += await requests_while_it_stops(api)
    assert min(starts) < score.size(60, 3)
    score.note(
        f"ready within {min(starts):.1f} to {max(starts):.1f} s; {len(stops)} containers stopped within"
        f" {max(stops):.1f} s of {GRACE_SECONDS}; 0 of {requests:,} requests failed while it drained"
    )


def stop(container: Container) -> float:
    """The seconds that it takes."""
    began = time.monotonic()
    container.signal("TERM")
    assert container.wait() in {0, 143}, container.logs
    return time.monotonic() - began


async def requests_while_it_stops(api: Api) -> int:
    """How many were answered, on new and on kept-alive connections, until a second before the drain ends."""
    stopping = asyncio.create_task(asyncio.to_thread(stop, api))
    end, count = time.monotonic() + DRAIN_SECONDS - 1, 0
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as kept:
        while time.monotonic() < end:
            async with httpx.AsyncClient(base_url=api.url, timeout=30, verify=TLS) as new:
                for client in (kept, new):
                    assert (await client.get("/v2/products?limit=1")).status_code == 200
                    count += 1
    await stopping
    return count


def test_dead_processes_are_reaped_and_workers_replaced(api: Api) -> None:
    """Fails if process 1 waits for its own children only: orphans stay zombies."""
    orphan = "import subprocess; subprocess.Popen(['python', '-c', 'import time; time.sleep(1)'])"
    assert api.execute("python", "-c", orphan).returncode == 0
    [server] = [process for process, (_, parent) in api.processes().items() if parent == 1][:1]
    worker = next(process for process, (_, parent) in api.processes().items() if parent == server)
    assert api.execute("python", "-c", f"import os; os.kill({worker}, 9)").returncode == 0

    def is_clean() -> bool:
        found = api.processes()
        return worker not in found and "Z" not in {state for state, _ in found.values()}

    wait_until(is_clean)
    wait_until(lambda: api.status_of("/health/ready") == 200)
