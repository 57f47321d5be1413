"""The jobs of restwell, with a worker like ``restwell worker``. bench/jobs.py describes the commands."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

sys.path += [str(Path(__file__).parents[2] / "tests/support")]

from jobs_harness import make_tables  # after the path is set; the tests' own helper
from restwell.database import open_database
from restwell.jobs import JobContext, Jobs, Worker, WorkerOptions, job
from restwell.jobs._notifier import open_notifier
from restwell.observability._logs import configure_logs
from restwell.settings import LogSettings

COMMAND, URL, *NUMBERS = sys.argv[1:]
COUNT = int(NUMBERS[0]) if NUMBERS else 0
BROKER = os.environ.get("BROKER") or None
waits: list[float] = []
first = 0.0


@job(queue="bench")
async def noop(context: JobContext, at: float) -> None:  # a job's first argument
    global first  # noqa: PLW0603  # one number of a small script
    now = time.time()
    first = first or now
    waits.append(now - at)


async def work(jobs: Jobs, worker: Worker) -> None:
    working = asyncio.create_task(worker.run())
    print(json.dumps("ready"), flush=True)
    while len(waits) < COUNT or any(one.state != "dead" for one in await jobs.queue_stats()):
        await asyncio.sleep(0.01)
    print(json.dumps({"began": first, "ended": time.time(), "waits": waits}), flush=True)
    worker.stop()
    await working


async def main() -> None:
    configure_logs(LogSettings(level="warning"))
    async with open_database(URL) as database:
        jobs = Jobs(database, open_notifier(database, URL, BROKER, "bench"))
        jobs.register([noop])
        if COMMAND == "prepare":
            await make_tables(database)
        elif COMMAND == "work":
            options = WorkerOptions(queues=("bench",), concurrency=int(os.environ["CONCURRENCY"]))
            await work(jobs, Worker(database, URL, jobs, [], options))
        else:
            print(json.dumps({"began": time.time()}), flush=True)
            await produce(jobs)
        await jobs.close()


async def produce(jobs: Jobs) -> None:
    database = jobs._database  # noqa: SLF001  # its own
    if COMMAND == "fill":
        for done in range(0, COUNT, 1_000):
            size = min(1_000, COUNT - done)
            async with database.transaction() as tx:
                await jobs.enqueue_many(tx, noop, [{"at": time.time()} for _ in range(size)])
    elif COMMAND == "produce":

        async def one() -> None:
            for _ in range(COUNT // 32):
                await jobs.enqueue(database, noop, at=time.time())

        await asyncio.gather(*(one() for _ in range(32)))
    else:
        began, sent = time.time(), []
        for number in range(COUNT):
            await asyncio.sleep(began + number / float(NUMBERS[1]) - time.time())
            sent.append(asyncio.create_task(jobs.enqueue(database, noop, at=time.time())))
        await asyncio.gather(*sent)


if __name__ == "__main__":
    uvloop.run(main())
