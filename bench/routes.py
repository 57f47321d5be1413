"""The shop's routes under load, beside its peers: ``make bench``, or ``python bench/routes.py --only=W1,express`` for some.

Each contender serves from one core while wrk asks from the other, over 32 connections, one contender after the other and round after
round, on the same PostgreSQL and Redis with 100,000 products, 100,000 orders and 10,000 users. Whoever answers wrongly is out of the race
before it is timed. Medians of the rounds are told as ratios, ours to theirs, and written to ``--out`` with every run. ``--all-cores``
gives each as many workers as there are cores. ``label=folder`` measures another build of ours beside this one, and
``label=folder,VARIABLE=value`` one with other settings.
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

from contenders import LIMITS, NODE, OURS, PYTHON, ROOT, Serving, install, serving
from family import refuse_leftovers
from keep import keep
from report import show
from servers import Postgres, postgres, redis_server
from works import KEPT, SCRIPTS, Disqualified, add_people, check, subjects_for

CONNECTIONS = 32
DONE = """
done = function(_, latency)
  for _, part in ipairs({50, 95, 99}) do io.write(string.format("p%d_ms %f\\n", part, latency:percentile(part) / 1000)) end
end
"""
ROWS = 100_000
PEERS = (*NODE, *PYTHON, *LIMITS)
Run = dict[str, float]


def install_load_generator(program: str = "wrk", package: str = "wrk") -> None:
    """By Debian's package, where it is not there; the lists of a bare machine are fetched first."""
    if shutil.which(program) is None:
        for command in (["update"], ["install", "--yes", package]):
            subprocess.run(["apt-get", *command], check=True, stdout=subprocess.DEVNULL)


def load(url: str, script: str, seconds: int, folder: Path, cores: str = "1", *, may_fail: bool = False) -> Run:
    """Requests a second, percentiles in milliseconds. Raises SystemExit for any answer that is not a success.

    Where they ``may_fail``, only successes count, and how many failed is told.
    """
    path = folder / "load.lua"
    path.write_text(script + DONE)
    command = [
        "taskset",
        "-c",
        cores,
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(path),
        url,
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", output)))
    if "Socket errors" in output or (failed and not may_fail):
        raise SystemExit(f"wrong answers:\n{output}")
    found = {name: float(figure) for name, figure in re.findall(r"(p\d+_ms) ([\d.]+)", output)}
    counted = re.findall(r"(\d+) requests in", output)[0]
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", output)[0]) * (1 - failed / int(counted))
    return {"rate": rate, "requests": int(counted), "failed": failed, **found}


class Bench:
    """Servers with their data, on which contenders are measured in turn."""

    def __init__(self, server: Postgres, redis_url: str, folder: Path, builds: dict[str, str]) -> None:
        self._server = server
        self._redis_url = redis_url
        self._folder = folder
        self._builds = builds
        self._size = 0
        self._checked: set[tuple[str, bool]] = set()
        self.disqualified: dict[str, str] = {}

    def fill(self) -> None:
        environment = {**os.environ, **self.environment("W2"), "RESTWELL_APP": "shop.app:shop"}
        environment["PYTHONPATH"] = str(Path(next(iter(self._builds.values())).split(",")[0]).resolve())
        for command in (["migrate"], ["seed"], ["seed", f"--rows={ROWS}"]):
            subprocess.run(
                [sys.executable, "-m", "restwell", *command], env=environment, cwd=ROOT, check=True, capture_output=True
            )
        add_people(self._server)

    def measure(self, name: str, work: str, seconds: int, warm: int, workers: int) -> Run | None:
        """One contender at one work; None once it has answered wrongly."""
        if name in self.disqualified:
            return None
        cores = "0" if workers == 1 else ",".join(map(str, range(workers)))
        source = self._builds.get(name, "")
        with serving(name, self._folder, self.environment(work), source, cores=cores, workers=workers) as one:
            subjects = asyncio.run(subjects_for(one))
            if not self._is_right(one, work, subjects):
                return None
            script = subjects.as_lua() + SCRIPTS[work]
            asking = "1" if workers == 1 else cores
            load(one.url, script, warm, self._folder, asking)
            before = one.family.cpu_seconds()
            run = load(one.url, script, seconds, self._folder, asking)
            run["cpu_us"] = (one.family.cpu_seconds() - before) / run["requests"] * 1e6
            run["resident_mb"] = one.family.resident_mb()
            run["peak_mb"] = one.family.peak_mb()
            run["started_seconds"] = one.started_seconds
        return run

    def environment(self, work: str) -> dict[str, str]:
        found = {"DATABASE_URL": self._server.url, "CACHE": "on" if work in KEPT else "off", "SIZE": str(self._size)}
        return found | {"REDIS_URL": self._redis_url}

    def _is_right(self, one: Serving, work: str, subjects: Any) -> bool:
        key = (one.name, work in KEPT)
        if key not in self._checked:
            self._checked.add(key)
            try:
                asyncio.run(check(one, subjects, self._server.url))
            except (Disqualified, KeyError, ValueError) as error:
                self.disqualified[one.name] = f"{work}: {error!r}"
        if one.name == OURS and not self._size:
            self._size = asyncio.run(size_of_list(one.url))
        return one.name not in self.disqualified


async def size_of_list(url: str) -> int:
    async with httpx.AsyncClient() as client:
        return len((await client.get(f"{url}/v1/products?limit=20")).content)


def medians(runs: list[Run]) -> Run:
    return {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]} if runs else {}


def race(bench: Bench, works: list[str], names: list[str], rounds: int, seconds: int, workers: int) -> dict[str, Any]:
    """Every run of every contender at every work, contenders in turn."""
    turns = [(work, name) for _ in range(rounds) for work in works for name in names if work in LIMITS.get(name, works)]
    runs: dict[str, dict[str, list[Run]]] = {work: {} for work in works}
    parts = TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*parts, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(turns))
        for work, name in turns:
            progress.update(task, description=f"{work} {name}")
            run = bench.measure(name, work, seconds, 1 if seconds == 1 else 2, workers)
            if run is not None:
                runs[work].setdefault(name, []).append(run)
            progress.advance(task)
    return {
        work: {name: {**medians(each), "runs": each} for name, each in named.items()} for work, named in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="*", help="label=folder: another build of ours, and no peer that is not named")
    parser.add_argument("--only", default="", help="works and peers, by comma; all, if none is named")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second each, for express, fastify and raw-asgi"
    )
    parser.add_argument("--all-cores", action="store_true")
    parser.add_argument("--out", type=Path, help="where the result is written, as JSON")
    options = parser.parse_args()
    builds = {OURS: f"{ROOT / 'src'},REDIS_URL="} | dict(one.split("=", 1) for one in options.builds)
    only = [one for one in options.only.split(",") if one]
    if unknown := set(only) - {*SCRIPTS, *PEERS}:
        parser.error(f"neither works ({', '.join(SCRIPTS)}) nor peers ({', '.join(PEERS)}): {', '.join(unknown)}")
    works = [one for one in SCRIPTS if one in only]
    peers = [one for one in PEERS if one in only]
    if options.quick:
        options.seconds = options.rounds = 1
        works = works or ["W1", "W2", "W5"]
        peers = peers or ["express", "fastify", "raw-asgi"]
    works = works or list(SCRIPTS)
    if not peers and not options.builds:
        peers = list(PEERS)
        builds["restwell+redis"] = str(ROOT / "src")
    workers = os.cpu_count() or 1 if options.all_cores else 1
    names = [*builds, *(one for one in peers if workers == 1 or one not in LIMITS)]
    refuse_leftovers()
    install_load_generator()
    versions = install(peers) | {"restwell": version("restwell"), "granian": version("granian")}
    with tempfile.TemporaryDirectory() as folder, postgres() as server, redis_server() as kept:
        bench = Bench(server, kept.url, Path(folder), builds)
        bench.fill()
        figures = race(bench, works, names, options.rounds, options.seconds, workers)
    what = f"{CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s, {workers} worker(s) each"
    show(what, figures, bench.disqualified)
    if options.out:
        keep(options.out, what, versions=versions, disqualified=bench.disqualified, works=figures)


if __name__ == "__main__":
    main()
