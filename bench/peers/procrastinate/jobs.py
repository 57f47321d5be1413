"""procrastinate on PostgreSQL, like its documentation. bench/jobs.py describes the commands."""

import asyncio
import json
import os
import sys
import time

from procrastinate import App, PsycopgConnector

COMMAND, URL, *NUMBERS = sys.argv[1:]
COUNT = int(NUMBERS[0]) if NUMBERS else 0

app = App(connector=PsycopgConnector(conninfo=URL, min_size=4, max_size=10))
waits: list[float] = []
first = 0.0


@app.task(queue="bench")  # type: ignore[untyped-decorator]  # the bench installs it for itself
async def noop(at: float) -> None:
    global first  # noqa: PLW0603  # one number of a small script
    now = time.time()
    first = first or now
    waits.append(now - at)


async def work() -> None:
    worker = asyncio.create_task(
        app.run_worker_async(concurrency=int(os.environ["CONCURRENCY"]), install_signal_handlers=False)
    )
    print(json.dumps("ready"), flush=True)
    left = "SELECT count(*) AS n FROM procrastinate_jobs WHERE status <> 'succeeded'"
    while len(waits) < COUNT or (await app.connector.execute_query_one_async(left))["n"]:
        await asyncio.sleep(0.01)
    print(json.dumps({"began": first, "ended": time.time(), "waits": waits}), flush=True)
    worker.cancel()


async def main() -> None:
    async with app.open_async():
        if COMMAND == "prepare":
            await app.schema_manager.apply_schema_async()
        elif COMMAND == "work":
            await work()
        else:
            print(json.dumps({"began": time.time()}), flush=True)
            await produce()


async def produce() -> None:
    if COMMAND == "fill":
        for done in range(0, COUNT, 1_000):
            size = min(1_000, COUNT - done)
            await noop.batch_defer_async(*({"at": time.time()} for _ in range(size)))
    elif COMMAND == "produce":

        async def one() -> None:
            for _ in range(COUNT // 32):
                await noop.defer_async(at=time.time())

        await asyncio.gather(*(one() for _ in range(32)))
    else:
        began, sent = time.time(), []
        for number in range(COUNT):
            await asyncio.sleep(began + number / float(NUMBERS[1]) - time.time())
            sent.append(asyncio.create_task(noop.defer_async(at=time.time())))
        await asyncio.gather(*sent)


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)
