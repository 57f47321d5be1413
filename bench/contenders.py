"""The contenders of the benchmark: installation, start and processes."""

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
sys.path += [str(ROOT / "tests/support"), str(ROOT / "src"), str(ROOT / "shop/src"), str(ROOT / "shop/tests/support")]

from process_tree import ProcessTree  # noqa: E402  # after the path is set
from servers import TLS, free_port  # noqa: E402  # test helpers

PEERS = ROOT / "bench/peers"
INSTALL_FOLDER = ROOT / "var/peers"
SECRET = "a secret for the benchmark that is long enough"  # noqa: S105
NODE = ("express", "fastify")
PYTHON = ("fastapi", "litestar", "django")
UPPER_BOUNDS = {"raw-asgi": {"W1"}, "raw-asyncpg": {"W2", "W3"}}
"""Minimal programs without middleware that show the highest possible throughput, each for some workloads."""
RESTWELL = "restwell"
_START_SECONDS = 60


class RunningContender(Struct):
    """A running contender: its URL, its start time, its log and its processes."""

    name: str
    url: str
    started_seconds: float
    log: Path
    process_tree: ProcessTree


def install(names: list[str]) -> dict[str, str]:
    """Install the dependencies of the peers under var/peers, from their pinned files. Returns their versions."""
    versions = {}
    for name in names:
        if name in NODE:
            folder = node_folder(name, "shop.mjs", f"{name}/server.mjs")
            versions[name] = json.loads((folder / f"node_modules/{name}/package.json").read_text())["version"]
            versions["node"] = subprocess.run(
                [str(node_program()), "--version"], capture_output=True, text=True, check=True
            ).stdout.strip()
        elif name in PYTHON:
            output = subprocess.run(
                [str(python_for(name)), "-c", f"from importlib.metadata import version; print(version('{name}'))"],
                capture_output=True,
                text=True,
                check=True,
            )
            versions[name] = output.stdout.strip()
    return versions


def node_folder(name: str, *programs: str) -> Path:
    """Install the packages of a Node.js peer, and copy its programs. Returns the folder."""
    node = node_program()
    folder = INSTALL_FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    pinned = (PEERS / name / "package.json").read_text()
    installed = folder / "package.json"
    if not (folder / "node_modules").exists() or installed.read_text() != pinned:
        installed.write_text(pinned)
        command = [
            str(python_for("node").with_name("npm")),
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
    """The Node.js binary of the pinned version, not a wrapper script."""
    script = str(python_for("node").with_name("node"))
    output = subprocess.run([script, "-p", "process.execPath"], capture_output=True, text=True, check=True)
    return Path(output.stdout.strip())


def python_for(name: str) -> Path:
    """The interpreter of a Python peer, in its own virtual environment."""
    pinned = PEERS / name / "requirements.txt"
    python = INSTALL_FOLDER / name / "bin/python"
    installed = INSTALL_FOLDER / name / "requirements.txt"
    if not installed.exists() or installed.read_text() != pinned.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(INSTALL_FOLDER / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(pinned)], check=True)
        shutil.copy(pinned, installed)
    return python


def command_for(name: str, source: str) -> tuple[list[str], dict[str, str]]:
    """The command of a contender, and its environment. ``source`` is the path of a restwell build, with settings."""
    if name in NODE:
        return [str(node_program()), str(INSTALL_FOLDER / name / "server.mjs")], {"NODE_ENV": "production"}
    if name in PYTHON:
        program = [str(python_for(name)), "server.py"]
        if name == "django":
            program = [str(python_for(name)), "-m", "gunicorn", "--config=gunicorn.conf.py", "server:application"]
        return program, {"PYTHONPATH": f"{PEERS}:{PEERS / name}"}
    if name in UPPER_BOUNDS:
        return [sys.executable, "server.py"], {"PYTHONPATH": str(PEERS / "raw")}
    folder, *settings = source.split(",")
    paths = ":".join(str(Path(one).resolve()) for one in folder.split(":"))
    environment_of_restwell = {"PYTHONPATH": paths, "RESTWELL_APP": "shop.app:shop", "LOG_FORMAT": "json"}
    environment_of_restwell |= {"RATE_LIMIT_SCALE": "1000000", "REQUEST_TIMEOUT_SECONDS": "30"} | dict(
        setting.split("=", 1) for setting in settings
    )
    return [sys.executable, "-m", "restwell", "serve"], environment_of_restwell


@contextmanager
def serving(
    name: str,
    folder: Path,
    environment: Mapping[str, str],
    source: str = str(ROOT / "src"),
    *,
    cores: str = "0",
    workers: int = 1,
) -> Iterator[RunningContender]:
    """Start a contender on the given cores and wait until it is ready."""
    command, contender_env = command_for(name, source)
    port = free_port()
    env = {
        **os.environ,
        **environment,
        "PORT": str(port),
        "WORKERS": str(workers),
        "JWT_SECRET": SECRET,
        **contender_env,
    }
    if name == "raw-asgi":
        env.pop("DATABASE_URL", None)
    log = folder / f"{name}.log"
    working_folder = (
        PEERS / ("raw" if name in UPPER_BOUNDS else name) if name in PYTHON or name in UPPER_BOUNDS else ROOT
    )
    process_tree = ProcessTree()
    with log.open("wb") as file:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                ["taskset", "-c", cores, *command],
                env=process_tree.environment(env),
                cwd=working_folder,
                stdout=file,
                stderr=file,
            )
            url = f"http://127.0.0.1:{port}"
            while not _is_ready(url):
                if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                    raise SystemExit(f"{name} failed to start:\n{log.read_text()[-2_000:]}")
                time.sleep(0.02)
            yield RunningContender(name, url, time.perf_counter() - began, log, process_tree)
        finally:
            process_tree.terminate()
            process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5, verify=TLS).status_code == 200
    except httpx.TransportError:
        return False
