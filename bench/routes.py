"""Load test of the shop's routes and its peers: ``make bench``, or ``python bench/routes.py --only=W1,express`` for a
selection.

Each contender serves from one core, and wrk sends from the other over 32 connections. Contenders run in turn in each
round, on the same PostgreSQL and Redis with 100,000 products, 100,000 orders and 10,000 users. A contender with a wrong
response is disqualified before it is timed. Reports the medians of the rounds as throughput ratios; ``--out`` stores
every run. ``--all-cores`` uses one worker per core. ``label=src:shop/src`` also measures another build of restwell,
by the folders of its sources, and ``label=src:shop/src,VARIABLE=value`` one with other settings.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contenders import NODE, PYTHON, RESTWELL, ROOT, UPPER_BOUNDS, RunningContender, install, serving
from noise import NoiseMeter, refuse_if_noisy, uneven_rounds
from process_tree import check_no_leftovers, clean_up_at_exit, server_cpu_seconds
from report import show
from results_file import save_result
from servers import Postgres, postgres, redis_server
from workloads import CACHED, SCRIPTS, WrongResponse, add_users, check, request_data_for

CONNECTIONS = 32
DONE = """
done = function(_, latency)
  for _, part in ipairs({50, 95, 99}) do
    io.write(string.format("p%d_ms %f\\n", part, latency:percentile(part) / 1000))
  end
end
"""
ROWS = 100_000
PEERS = (*NODE, *PYTHON, *UPPER_BOUNDS)
Run = dict[str, float]
MAX_REPEATS = 2
"""How often a run is repeated that another process disturbs."""
MAX_WARM_UPS = 5
FLAT = 0.05
"""A contender is warm when its rate rises by less than this: Node compiles for longer than two seconds."""

OWN = f"{ROOT / 'src'}:{ROOT / 'shop/src'}"
"""The sources of this build."""


def install_load_generator(program: str = "wrk", package: str = "wrk") -> None:
    """Install the Debian package if the program is missing."""
    if shutil.which(program) is None:
        for command in (["update"], ["install", "--yes", package]):
            subprocess.run(["apt-get", *command], check=True, stdout=subprocess.DEVNULL)


def load(
    url: str,
    script: str,
    seconds: int,
    folder: Path,
    cores: str = "1",
    *,
    may_fail: bool = False,
    connections: int = CONNECTIONS,
) -> Run:
    """Run wrk. Returns requests per second and latency percentiles in milliseconds.

    Raises SystemExit for a failed request. With ``may_fail`` failed requests are counted and excluded from the rate.
    Those that time out are then no error either.
    """
    path = folder / "load.lua"
    path.write_text(script + DONE)
    command = [
        "taskset",
        "-c",
        cores,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(path),
        url,
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", output)))
    broken = re.search("Socket errors" if not may_fail else r"Socket errors: (?!connect 0, read 0, write 0)", output)
    if broken or (failed and not may_fail):
        raise SystemExit(f"failed requests:\n{output}")
    result = {name: float(figure) for name, figure in re.findall(r"(p\d+_ms) ([\d.]+)", output)}
    counted = re.findall(r"(\d+) requests in", output)[0]
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", output)[0]) * (1 - failed / max(int(counted), 1))
    return {"rate": rate, "requests": int(counted), "failed": failed, **result}


class Bench:
    """The servers with their data, and the measurement of contenders."""

    def __init__(
        self, server: Postgres, redis_url: str, folder: Path, builds: dict[str, str], rows: int = ROWS
    ) -> None:
        self._server = server
        self._redis_url = redis_url
        self._folder = folder
        self._builds = builds
        self._rows = rows
        self._list_bytes = 0
        self._checked: set[tuple[str, bool]] = set()
        self.disqualified: dict[str, str] = {}
        self.disturbances: list[str] = []
        self.connections = CONNECTIONS

    def fill(self) -> None:
        environment = {**os.environ, **self.environment("W2"), "RESTWELL_APP": "shop.app:shop"}
        environment["PYTHONPATH"] = OWN
        for command in (["migrate"], ["seed"], ["seed", f"--rows={self._rows}"]):
            subprocess.run(
                [sys.executable, "-m", "restwell", *command], env=environment, cwd=ROOT, check=True, capture_output=True
            )
        add_users(self._server)

    def measure(self, name: str, workload: str, seconds: int, warm: int, workers: int) -> Run | None:
        """Measure a contender at a workload. Returns None if it is disqualified.

        Without a warm-up, failed requests are no error, since the contender may be busy with its start, and a
        disturbed run is not repeated.
        """
        if name in self.disqualified:
            return None
        cores = "0" if workers == 1 else ",".join(map(str, range(workers)))
        source = self._builds.get(name, "")
        with serving(name, self._folder, self.environment(workload), source, cores=cores, workers=workers) as one:
            data = asyncio.run(request_data_for(one, self._rows))
            if not self._is_correct(one, workload, data):
                return None
            script = data.as_lua() + SCRIPTS[workload]
            load_cores = "1" if workers == 1 else cores
            if warm:
                self._warm_up(one, script, warm, load_cores)
            run, noise = self._timed(one, script, seconds, load_cores, may_fail=not warm)
            for _ in range(MAX_REPEATS if warm else 0):
                if noise:
                    run, noise = self._timed(one, script, seconds, load_cores, may_fail=not warm)
            self.disturbances += [f"{workload} {name}: {each}" for each in noise]
            run["resident_mb"] = one.process_tree.resident_mb()
            run["peak_mb"] = one.process_tree.peak_mb()
            run["started_seconds"] = one.started_seconds
        return run

    def _warm_up(self, one: RunningContender, script: str, seconds: int, cores: str) -> None:
        """Send requests until the rate no longer rises."""
        rate = 0.0
        for _ in range(MAX_WARM_UPS):
            previous = rate
            rate = load(one.url, script, seconds, self._folder, cores, connections=self.connections)["rate"]
            if rate < previous * (1 + FLAT):
                return

    def _timed(
        self, one: RunningContender, script: str, seconds: int, cores: str, *, may_fail: bool
    ) -> tuple[Run, list[str]]:
        """One timed run, and what disturbed it."""
        before, database_before = one.process_tree.cpu_seconds(), server_cpu_seconds(*self._server.processes())
        with NoiseMeter() as noise:
            run = load(one.url, script, seconds, self._folder, cores, may_fail=may_fail, connections=self.connections)
        requests = max(run["requests"], 1)
        run["cpu_us"] = (one.process_tree.cpu_seconds() - before) / requests * 1e6
        run["postgres_us"] = (server_cpu_seconds(*self._server.processes()) - database_before) / requests * 1e6
        return run, noise.disturbances

    def environment(self, workload: str) -> dict[str, str]:
        result = {
            "DATABASE_URL": self._server.url,
            "CACHE": "on" if workload in CACHED else "off",
            "SIZE": str(self._list_bytes),
        }
        return result | {"REDIS_URL": self._redis_url}

    def _is_correct(self, one: RunningContender, workload: str, data: Any) -> bool:
        key = (one.name, workload in CACHED)
        if key not in self._checked:
            self._checked.add(key)
            try:
                asyncio.run(check(one, data, self._server.url))
            except (WrongResponse, KeyError, ValueError) as error:
                self.disqualified[one.name] = f"{workload}: {error!r}"
        if one.name == RESTWELL and not self._list_bytes:
            self._list_bytes = asyncio.run(list_bytes(one.url))
        return one.name not in self.disqualified


async def list_bytes(url: str) -> int:
    async with httpx.AsyncClient() as client:
        return len((await client.get(f"{url}/v1/products?limit=20")).content)


def medians(runs: list[Run]) -> Run:
    return {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]} if runs else {}


def measure_all(
    bench: Bench, workloads: list[str], names: list[str], rounds: int, seconds: int, workers: int
) -> dict[str, Any]:
    """Measure every contender at every workload, in turn."""
    runs_to_do = [
        (workload, name)
        for _ in range(rounds)
        for workload in workloads
        for name in names
        if workload in UPPER_BOUNDS.get(name, workloads)
    ]
    runs: dict[str, dict[str, list[Run]]] = {workload: {} for workload in workloads}
    parts = TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*parts, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(runs_to_do))
        for workload, name in runs_to_do:
            progress.update(task, description=f"{workload} {name}")
            run = bench.measure(name, workload, seconds, 0 if seconds == 1 else 2, workers)
            if run is not None:
                runs[workload].setdefault(name, []).append(run)
            progress.advance(task)
    return {
        workload: {name: {**medians(each), "runs": each} for name, each in named.items()}
        for workload, named in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="*", help="label=src:shop/src: another build; without --only, no peers")
    parser.add_argument("--only", default="", help="workloads and peers, separated by commas; default: all")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of one second without a warm-up, with express, fastify and raw-asgi",
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="products and orders, at least 2,000")
    parser.add_argument("--all-cores", action="store_true")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--out", type=Path, help="the JSON file for the result")
    options = parser.parse_args()
    # Without Redis, like the build itself, unless a setting follows.
    others = (one.split("=", 1) for one in options.builds)
    builds = {RESTWELL: f"{OWN},REDIS_URL="}
    builds |= {label: build if "REDIS_URL=" in build else f"{build},REDIS_URL=" for label, build in others}
    only = [one for one in options.only.split(",") if one]
    if unknown := set(only) - {*SCRIPTS, *PEERS}:
        parser.error(f"neither workloads ({', '.join(SCRIPTS)}) nor peers ({', '.join(PEERS)}): {', '.join(unknown)}")
    workloads = [one for one in SCRIPTS if one in only]
    peers = [one for one in PEERS if one in only]
    if options.quick:
        options.seconds = options.rounds = 1
        workloads = workloads or ["W1", "W2", "W5"]
        peers = peers or ([] if options.builds else ["express", "fastify", "raw-asgi"])
    workloads = workloads or list(SCRIPTS)
    if not peers and not options.builds:
        peers = list(PEERS)
        builds["restwell+redis"] = OWN
    workers = os.cpu_count() or 1 if options.all_cores else 1
    names = [*builds, *(one for one in peers if workers == 1 or one not in UPPER_BOUNDS)]
    check_no_leftovers()
    clean_up_at_exit()
    install_load_generator()
    versions = install(peers) | {"restwell": version("restwell"), "granian": version("granian")}
    with tempfile.TemporaryDirectory() as folder, postgres() as server, redis_server() as redis:
        bench = Bench(server, redis.url, Path(folder), builds, options.rows)
        bench.connections = options.connections
        bench.fill()
        results = measure_all(bench, workloads, names, options.rounds, options.seconds, workers)
    what = (
        f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s, {workers} worker(s) each"
    )
    show(what, results, versions, bench.disqualified)
    refuse_if_noisy(options.out, [*bench.disturbances, *uneven_rounds(results)])
    if options.out:
        save_result(options.out, what, versions=versions, disqualified=bench.disqualified, workloads=results)


if __name__ == "__main__":
    main()
