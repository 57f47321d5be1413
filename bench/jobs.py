"""W7, jobs per second from end to end: ``python bench/jobs.py --out bench/results/jobs``. ``--quick`` runs one short
round.

Each contender is a program in ``bench/peers`` with the same commands: ``prepare``; ``work N`` prints "ready" and, when
N jobs are completed, the start of the first, the end of the last, and the wait of each; ``fill N`` enqueues in batches
of 1,000; ``produce N`` enqueues one by one from 32 tasks; ``pace N rate`` at a constant rate. Jobs are empty. The
worker is pinned to one core, the producer to the other; PostgreSQL and Redis use both. PostgreSQL syncs each commit
(fsync on), Redis does not, its default. Contenders run in turn; medians.
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

from contenders import PEERS, ROOT, node_folder, node_program, python_for
from noise import MAX_SPREAD, NoiseMeter, refuse_if_noisy, spread
from process_tree import ProcessTree, check_no_leftovers, clean_up_at_exit
from rabbit import rabbit_server
from results_file import save_result
from servers import postgres, redis_server

CONCURRENCY = "100"
PACE = 200
DURABLE = ("-cfsync=on", "-csynchronous_commit=on")
CONTENDERS = ("restwell", "restwell+redis", "restwell+rabbitmq", "restwell-sqlite", "procrastinate", "bullmq")


def install() -> tuple[list[str], list[str]]:
    """Install BullMQ and procrastinate under var/peers. Returns their commands."""
    node = node_folder("bullmq", "bullmq/jobs.mjs")
    python = python_for("procrastinate")
    return [str(node_program()), str(node / "jobs.mjs")], [str(python), str(PEERS / "procrastinate/jobs.py")]


@contextmanager
def contender(
    name: str, bullmq: list[str], procrastinate: list[str]
) -> Iterator[tuple[list[str], str, dict[str, str]]]:
    """The command, the URL and the environment of a contender, with new servers."""
    restwell_command = [sys.executable, str(PEERS / "restwell_jobs.py")]
    process_tree = ProcessTree()
    environment = process_tree.environment({**os.environ, "CONCURRENCY": CONCURRENCY, "PYTHONPATH": str(ROOT / "src")})
    with ExitStack() as stack:
        if name == "bullmq":
            url = stack.enter_context(redis_server()).url
            stack.callback(process_tree.terminate)
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
        program = procrastinate if name == "procrastinate" else restwell_command
        subprocess.run([*program, "prepare", url], env=environment, check=True)
        stack.callback(process_tree.terminate)  # before its servers stop
        yield program, url, environment


def measure(name: str, count: int, bullmq: list[str], procrastinate: list[str]) -> dict[str, float]:
    """Throughput on a full queue, throughput while jobs are enqueued, and waits at a constant rate."""
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

        produced_count = count // 64 * 32
        worker = start(0, "work", url, str(produced_count))
        line(worker)
        producer = start(1, "produce", url, str(produced_count))
        began = line(producer)["began"]
        end_to_end = produced_count / (line(worker)["ended"] - began)
        producer.wait(30)
        worker.wait(30)

        paced_count = PACE * (10 if count > 10_000 else 3)
        worker = start(0, "work", url, str(paced_count))
        line(worker)
        producer = start(1, "pace", url, str(paced_count), str(PACE))
        waits = sorted(line(worker)["waits"])
        producer.wait(30)
        worker.wait(30)
    return {
        "drained_per_second": round(drained),
        "end_to_end_per_second": round(end_to_end),
        "wait_p50_ms": round(waits[len(waits) // 2] * 1_000, 2),
        "wait_p99_ms": round(waits[int(len(waits) * 0.99)] * 1_000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", default=CONTENDERS, choices=CONTENDERS)
    options = parser.parse_args()
    check_no_leftovers()
    clean_up_at_exit()
    count, rounds = (4_000, 1) if options.quick else (20_000, 3)
    bullmq, procrastinate = install()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    noise: list[str] = []
    for number in range(rounds):
        for name in options.only:
            with NoiseMeter() as meter:
                found = measure(name, count, bullmq, procrastinate)
            noise += [f"{name}: {one}" for one in meter.disturbances]
            print(f"{number + 1}/{rounds} {name:<18} {found}", flush=True)
            runs[name].append(found)
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()
    }
    print(json.dumps(medians, indent=2))
    spreads = {name: spread([run["end_to_end_per_second"] for run in found]) for name, found in runs.items()}
    noise += [f"{name}: its rounds differ by {by:.0%}" for name, by in spreads.items() if by > MAX_SPREAD]
    refuse_if_noisy(options.out, noise)
    if options.out is not None:
        pace = {"jobs": count, "concurrency": int(CONCURRENCY), "pace_per_second": PACE}
        save_result(options.out, __doc__, **pace, medians=medians, runs=runs)


if __name__ == "__main__":
    main()
