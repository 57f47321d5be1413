"""Who is measured, how each is installed and started, and what its processes used."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from msgspec import Struct

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "src")]

from family import Family  # noqa: E402  # after the path is set
from servers import free_port  # noqa: E402  # the tests' own helpers

PEERS = ROOT / "bench/peers"
INSTALLED = ROOT / "var/peers"
SECRET = "a secret for the bench, which is long enough to be one"  # noqa: S105
NODE = ("express", "fastify")
PYTHON = ("fastapi", "litestar", "django")
LIMITS = {"raw-asgi": {"W1"}, "raw-asyncpg": {"W2", "W3"}}
"""What does no duty, and so is no contender: how fast it could be at most. Each for some of the works."""
OURS = "restwell"
_START_SECONDS = 60


class Serving(Struct):
    """A contender that serves: where, how long it took to answer, and where it writes its lines."""

    name: str
    url: str
    started_seconds: float
    log: Path
    family: Family


def install(names: list[str]) -> dict[str, str]:
    """What the peers need, under var/peers, as their own files name it; and the versions that came."""
    versions = {}
    for name in names:
        if name in NODE:
            folder = node_folder(name, "shop.mjs", f"{name}/server.mjs")
            versions[name] = json.loads((folder / f"node_modules/{name}/package.json").read_text())["version"]
        elif name in PYTHON:
            shown = subprocess.run(
                [str(python_of(name)), "-c", f"from importlib.metadata import version; print(version('{name}'))"],
                capture_output=True,
                text=True,
                check=True,
            )
            versions[name] = shown.stdout.strip()
    return versions


def node_folder(name: str, *programs: str) -> Path:
    """Where the packages of a peer on Node are, with its programs beside them."""
    node = node_program()
    folder = INSTALLED / name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (PEERS / name / "package.json").read_text()
    present = folder / "package.json"
    if not (folder / "node_modules").exists() or present.read_text() != wanted:
        present.write_text(wanted)
        command = [
            str(python_of("node").with_name("npm")),
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--loglevel=error",
        ]
        path = f"{node.parent}:{os.environ['PATH']}"
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PATH": path})
    for program in programs:
        shutil.copy(PEERS / program, folder)
    return folder


def node_program() -> Path:
    """Node.js of one version, whatever the machine has: itself, not the script that may stand for it there."""
    script = str(python_of("node").with_name("node"))
    asked = subprocess.run([script, "-p", "process.execPath"], capture_output=True, text=True, check=True)
    return Path(asked.stdout.strip())


def python_of(name: str) -> Path:
    """The interpreter of a peer on Python, in an environment of its own."""
    wanted = PEERS / name / "requirements.txt"
    python = INSTALLED / name / "bin/python"
    present = INSTALLED / name / "requirements.txt"
    if not present.exists() or present.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(INSTALLED / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)], check=True)
        shutil.copy(wanted, present)
    return python


def command_of(name: str, source: str) -> tuple[list[str], dict[str, str]]:
    """The program of a contender, and what of its environment is its own. ``source`` is where a build of ours is, with settings."""
    if name in NODE:
        return [str(node_program()), str(INSTALLED / name / "server.mjs")], {"NODE_ENV": "production"}
    if name in PYTHON:
        program = [str(python_of(name)), "server.py"]
        if name == "django":
            program = [str(python_of(name)), "-m", "gunicorn", "--config=gunicorn.conf.py", "server:application"]
        return program, {"PYTHONPATH": f"{PEERS}:{PEERS / name}"}
    if name in LIMITS:
        return [sys.executable, "server.py"], {"PYTHONPATH": str(PEERS / "raw")}
    folder, *settings = source.split(",")
    paths = ":".join(str(Path(one).resolve()) for one in folder.split(":"))
    ours = {"PYTHONPATH": paths, "RESTWELL_APP": "shop.app:shop", "LOG_FORMAT": "json"}
    ours |= {"RATE_LIMIT_SCALE": "1000000"} | dict(setting.split("=", 1) for setting in settings)
    return [sys.executable, "-m", "restwell", "serve"], ours


@contextmanager
def serving(
    name: str,
    folder: Path,
    environment: Mapping[str, str],
    source: str = str(ROOT / "src"),
    *,
    cores: str = "0",
    workers: int = 1,
) -> Iterator[Serving]:
    """One contender, on those cores, once it answers."""
    command, own = command_of(name, source)
    port = free_port()
    env = {**os.environ, **environment, "PORT": str(port), "WORKERS": str(workers), "JWT_SECRET": SECRET, **own}
    if name == "raw-asgi":
        env.pop("DATABASE_URL", None)
    log = folder / f"{name}.log"
    place = PEERS / ("raw" if name in LIMITS else name) if name in PYTHON or name in LIMITS else ROOT
    family = Family()
    with log.open("wb") as file:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                ["taskset", "-c", cores, *command], env=family.environment(env), cwd=place, stdout=file, stderr=file
            )
            url = f"http://127.0.0.1:{port}"
            while not _answers(url):
                if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                    raise SystemExit(f"{name} does not start:\n{log.read_text()[-2_000:]}")
                time.sleep(0.02)
            yield Serving(name, url, time.perf_counter() - began, log, family)
        finally:
            family.end()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
