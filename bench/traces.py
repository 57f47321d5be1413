"""The CPU time of a request in process: ``python bench/traces.py before=../old/src:../old/shop/src``.

Sends GET requests to the whole shop on SQLite without a server, with structured log lines. Each build has a process;
``now`` is this build. As in ``routes.py``, a build is named by the folders of its sources, and settings may follow:
``label=src:shop/src,VARIABLE=value``. ``--sampled`` adds this build with a receiver of traces at rates of 0 and 1%.

The builds take turns with short blocks of requests. Reports microseconds per request: of the event loop's thread, and
of all threads, which write log lines and send traces too, until all is written and sent. ``min`` is the fastest block.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "src"), str(ROOT / "tests/support")]

from otlp_receiver import receiving  # noqa: E402  # after the path is set
from results_file import save_result  # noqa: E402

NOW = f"{ROOT / 'src'}:{ROOT / 'shop/src'}"
TRACEPARENT = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
LOGIN = json.dumps({"email": "customer1@shop.example", "password": "demo-password-2026"}).encode()
WORKLOADS = ("cached list", "cached list, traceparent", "users/me", "users/me, traceparent")
FLUSH_SECONDS = 1.2
"""Longer than the interval in which traces are sent."""


def scope_of(path: str, *headers: tuple[bytes, bytes], method: str = "GET") -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"limit=20" if path == "/v1/products" else b"",
        "headers": [(b"host", b"api.shop.example"), (b"user-agent", b"bench"), (b"accept", b"*/*"), *headers],
        "client": ("127.0.0.1", 1),
        "state": {},
    }


class Receive:
    """Returns the body, then waits, as for a client that stays."""

    def __init__(self, body: bytes = b"") -> None:
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def __call__(self) -> dict[str, Any]:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop()


async def send_requests(wait: float, results: TextIO) -> None:
    """For each line "REQUESTS WORKLOAD" of standard input, send so many, and print the CPU seconds of both kinds."""
    from restwell._project import create_app  # noqa: PLC0415  # of the build that PYTHONPATH names

    app = create_app()
    gc.collect()
    gc.freeze()
    await app.kit.start()
    try:
        await answer_lines(app, wait, results)
    finally:
        await app.kit.close()


async def answer_lines(app: Any, wait: float, results: TextIO) -> None:
    answers: list[dict[str, Any]] = []

    async def keep(message: Any) -> None:
        answers.append(message)

    async def discard(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise SystemExit(message)

    json_fields = (b"content-type", b"application/json"), (b"content-length", b"%d" % len(LOGIN))
    await app(scope_of("/v1/sessions", *json_fields, method="POST"), Receive(LOGIN), keep)
    token = json.loads(answers[1]["body"])["access_token"].encode()
    print("ready", file=results, flush=True)
    for line in iter(sys.stdin.readline, "\n"):
        requests, workload = line.strip().split(" ", 1)
        path, *more = workload.split(", ")
        headers = [TRACEPARENT] if more else []
        if path == "users/me":
            headers.append((b"authorization", b"Bearer " + token))
        path = "/v1/users/me" if path == "users/me" else "/v1/products"
        scopes = [scope_of(path, *headers) for _ in range(int(requests))]
        receive = Receive()
        thread, process = time.thread_time(), time.process_time()
        for scope in scopes:
            await app(scope, receive, discard)
        thread = time.thread_time() - thread
        if wait:
            await asyncio.sleep(wait)
        print(thread, time.process_time() - process, file=results, flush=True)


class Build:
    """A process that sends the requests to one build."""

    def __init__(self, source: str, folder: Path, wait: float) -> None:
        folders, *settings = source.split(",")
        folder.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": ":".join(str(Path(one).resolve()) for one in folders.split(":")),
            "RESTWELL_APP": "shop.app:shop",
            "DATABASE_URL": f"sqlite:///{folder / 'shop.db'}",
            "LOG_FORMAT": "json",
            "RATE_LIMIT_SCALE": "1000000",
            "REQUEST_TIMEOUT_SECONDS": "60",
            **dict(one.split("=", 1) for one in settings),
        }
        for command in ("migrate", "seed"):
            run = [sys.executable, "-m", "restwell", command]
            subprocess.run(run, env=environment, cwd=folder, check=True, capture_output=True)
        self.times: dict[str, list[tuple[float, float]]] = {workload: [] for workload in WORKLOADS}
        self._process = subprocess.Popen(
            [sys.executable, __file__, f"--child={wait}"],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask("")

    def measure(self, workload: str, requests: int) -> None:
        thread, process = map(float, self._ask(f"{requests} {workload}\n").split())
        self.times[workload].append((thread / requests * 1e6, process / requests * 1e6))

    def close(self) -> None:
        self._process.communicate("\n")

    def _ask(self, text: str) -> str:
        sent, answers = self._process.stdin, self._process.stdout
        if sent is None or answers is None:
            raise RuntimeError("the process has no pipes")
        sent.write(text)
        sent.flush()
        return answers.readline() or sys.exit("a build has failed")


def measure(builds: Mapping[str, Build], workloads: Sequence[str], rounds: int, requests: int) -> list[dict[str, Any]]:
    turns = [(workload, build) for workload in workloads for build in builds.values()]
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for workload, build in random.sample(turns, len(turns)):
            build.measure(workload, requests)
    print(file=sys.stderr)
    return [{"with": workload, **figures(builds, workload)} for workload in workloads]


def figures(builds: Mapping[str, Build], workload: str) -> dict[str, dict[str, float]]:
    found = {}
    for label, build in builds.items():
        threads, processes = zip(*build.times[workload], strict=True)
        found[label] = {
            "loop_min_us": round(min(threads), 2),
            "loop_median_us": round(statistics.median(threads), 2),
            "all_threads_min_us": round(min(processes), 2),
            "all_threads_median_us": round(statistics.median(processes), 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="*", help="label=src:shop/src: another build")
    parser.add_argument("--sampled", action="store_true", help="this build with a receiver of traces, at 0 and 1%%")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=1_000, help="of each block")
    parser.add_argument("--out", type=Path, help="the JSON file for the result")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        results = os.fdopen(os.dup(1), "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discards the log
        asyncio.run(send_requests(options.child, results))
        return
    sources = dict(one.split("=", 1) for one in options.builds)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if options.sampled:
            url = stack.enter_context(receiving(Path(folder, "receiver"))).url
            setting = f"OTEL_EXPORTER_OTLP_ENDPOINT={url},OTEL_TRACES_SAMPLER_ARG"
            sources |= {f"sampling {rate}": f"{NOW},{setting}={rate}" for rate in (0, 0.01)}
        else:
            sources["now"] = NOW
        builds = {}
        for number, (label, source) in enumerate(sources.items()):
            builds[label] = Build(source, Path(folder, str(number)), FLUSH_SECONDS if options.sampled else 0.0)
            stack.callback(builds[label].close)
        workloads = WORKLOADS[::2] if options.sampled else WORKLOADS
        rows = measure(builds, workloads, options.rounds, options.requests)
    for row in rows:
        print(json.dumps(row))
    if options.out is not None:
        what = f"GET in process through the whole shop, {options.rounds} blocks of {options.requests} requests in turn"
        save_result(options.out, what, rows=rows)


if __name__ == "__main__":
    main()
