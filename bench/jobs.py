"""W7, jobs a second from end to end: ``python bench/jobs.py --out bench/results/...json``; ``--quick`` for a look.

Each contender is a program in ``bench/peers`` with the same commands: ``prepare``; ``work N``, which prints "ready" and, when N jobs
are done and recorded, when the first began, the last ended, and how long each had waited; ``fill N`` in batches of 1,000;
``produce N`` one by one from 32 tasks; ``pace N rate``. Jobs do nothing. The worker is pinned to one core, who enqueues to the other;
PostgreSQL and Redis take what they need of both. PostgreSQL syncs each commit to the disk (fsync on), Redis nothing, as by default.
Contenders in turn, medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from contenders import PEERS, ROOT, node_folder, node_program, python_of
from family import Family, refuse_leftovers
from keep import keep
from rabbit import rabbit_server
from servers import postgres, redis_server

CONCURRENCY = "100"
PACE = 200
DURABLE = ("-cfsync=on", "-csynchronous_commit=on")
CONTENDERS = ("restwell", "restwell+redis", "restwell+rabbitmq", "restwell-sqlite", "procrastinate", "bullmq")


def install() -> tuple[list[str], list[str]]:
    """The commands that run BullMQ and procrastinate, once what they need is installed under var/peers."""
    node = node_folder("bullmq", "bullmq/jobs.mjs")
    python = python_of("procrastinate")
    return [str(node_program()), str(node / "jobs.mjs")], [str(python), str(PEERS / "procrastinate/jobs.py")]


@contextmanager
def contender(
    name: str, bullmq: list[str], procrastinate: list[str]
) -> Iterator[tuple[list[str], str, dict[str, str]]]:
    """Its program, the URL it is given and its environment, on fresh servers."""
    ours = [sys.executable, str(PEERS / "restwell_jobs.py")]
    family = Family()
    environment = family.environment({**os.environ, "CONCURRENCY": CONCURRENCY, "PYTHONPATH": str(ROOT / "src")})
    with ExitStack() as stack:
        if name == "bullmq":
            url = stack.enter_context(redis_server()).url
            stack.callback(family.end)
            yield bullmq, url, environment
            return
        if name == "restwell-sqlite":
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/jobs.db"
        else:
            url = stack.enter_context(postgres(None, *DURABLE)).url
        if name.endswith("+redis"):
            environment["BROKER"] = stack.enter_context(redis_server()).url
        if name.endswith("+rabbitmq"):
            environment["BROKER"] = stack.enter_context(rabbit_server()).url
        program = procrastinate if name == "procrastinate" else ours
        subprocess.run([*program, "prepare", url], env=environment, check=True)
        stack.callback(family.end)  # first of all, before its servers
        yield program, url, environment


def measure(name: str, count: int, bullmq: list[str], procrastinate: list[str]) -> dict[str, float]:
    """What one contender does: jobs a second that lie there, jobs a second while they come, and waits at a steady pace."""
    with contender(name, bullmq, procrastinate) as (program, url, environment):

        def start(core: int, *arguments: str) -> subprocess.Popen[bytes]:
            command = ["taskset", "-c", str(core), *program, *arguments]
            return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)

        def line(process: subprocess.Popen[bytes]) -> Any:
            assert process.stdout is not None
            return json.loads(process.stdout.readline())

        assert start(1, "fill", url, str(count)).wait(300) == 0
        worker = start(0, "work", url, str(count))
        line(worker)
        done = line(worker)
        worker.wait(30)
        drained = count / (done["ended"] - done["began"])

        some = count // 64 * 32
        worker = start(0, "work", url, str(some))
        line(worker)
        producer = start(1, "produce", url, str(some))
        began = line(producer)["began"]
        through = some / (line(worker)["ended"] - began)
        producer.wait(30)
        worker.wait(30)

        paced = PACE * (10 if count > 10_000 else 3)
        worker = start(0, "work", url, str(paced))
        line(worker)
        producer = start(1, "pace", url, str(paced), str(PACE))
        waits = sorted(line(worker)["waits"])
        producer.wait(30)
        worker.wait(30)
    return {
        "drained_per_second": round(drained),
        "end_to_end_per_second": round(through),
        "wait_p50_ms": round(waits[len(waits) // 2] * 1_000, 2),
        "wait_p99_ms": round(waits[int(len(waits) * 0.99)] * 1_000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", default=CONTENDERS, choices=CONTENDERS)
    chosen = parser.parse_args()
    refuse_leftovers()
    count, rounds = (4_000, 1) if chosen.quick else (20_000, 3)
    bullmq, procrastinate = install()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in chosen.only}
    for number in range(rounds):
        for name in chosen.only:
            found = measure(name, count, bullmq, procrastinate)
            print(f"{number + 1}/{rounds} {name:<18} {found}", flush=True)
            runs[name].append(found)
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()
    }
    print(json.dumps(medians, indent=2))
    if chosen.out is not None:
        pace = {"jobs": count, "concurrency": int(CONCURRENCY), "pace_per_second": PACE}
        keep(chosen.out, __doc__, **pace, medians=medians, runs=runs)


if __name__ == "__main__":
    main()
