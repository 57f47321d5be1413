"""A temporary Prometheus server that scrapes one target each second."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers import NEEDS, assert_allowed, free_port

READY_SECONDS = 60


class Prometheus:
    """``began`` is the time of its first scrape at the earliest."""

    def __init__(self, client: httpx.Client) -> None:
        self.began = time.time()
        self._client = client

    def ask(self, path: str, **parameters: object) -> Any:
        answer = self._client.get(path, params={name: str(value) for name, value in parameters.items()}).json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def series(self, expression: str) -> list[dict[str, str]]:
        """The labels of each series of the expression that has had a number since the start."""
        found = self.ask("/api/v1/query_range", query=expression, start=self.began, end=time.time(), step=1)["result"]
        return [one["metric"] for one in found if any(not math.isnan(float(value)) for _, value in one["values"])]

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def prometheus(folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes ``target``, a host and port. Skips the test if it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(f"{NEEDS}: Prometheus (apt-get install prometheus)")
    assert_allowed()
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules}]\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with (
        httpx.Client(base_url=f"http://{address}", timeout=30) as client,
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        server = Prometheus(client)
        try:
            give_up_at = time.monotonic() + READY_SECONDS
            while not server.is_ready():
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                assert time.monotonic() < give_up_at
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()
            process.wait(READY_SECONDS)
