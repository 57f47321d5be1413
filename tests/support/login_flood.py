"""Many who try to sign in at once, in a process of their own: ``python login_flood.py URL PEOPLE SECONDS`` prints how often each status came."""

import asyncio
import sys
import time
from collections import Counter

import httpx


async def flood(url: str, people: int, seconds: float) -> Counter[int]:
    statuses: Counter[int] = Counter()
    stop = time.monotonic() + seconds

    async def one(client: httpx.AsyncClient, number: int) -> None:
        tries = 0
        while time.monotonic() < stop:
            tries += 1
            body = {"email": f"{number}-{tries}@flood.example", "password": "a wrong one"}
            statuses[(await client.post("/v1/sessions", json=body)).status_code] += 1

    limits = httpx.Limits(max_connections=people)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await asyncio.gather(*(one(client, number) for number in range(people)))
    return statuses


if __name__ == "__main__":
    for status, count in asyncio.run(flood(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))).items():
        sys.stdout.write(f"{status} {count}\n")
