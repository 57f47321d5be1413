"""Load of concurrent sign-ins: ``python login_flood.py URL CLIENTS SECONDS`` prints the responses per status."""

import asyncio
import sys
import time
from collections import Counter

import httpx


async def flood(url: str, clients: int, seconds: float) -> Counter[int]:
    statuses: Counter[int] = Counter()
    stop = time.monotonic() + seconds

    async def sign_in(client: httpx.AsyncClient, number: int) -> None:
        attempts = 0
        while time.monotonic() < stop:
            attempts += 1
            body = {"email": f"{number}-{attempts}@flood.example", "password": "a wrong sign_in"}
            statuses[(await client.post("/v1/sessions", json=body)).status_code] += 1

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await asyncio.gather(*(sign_in(client, number) for number in range(clients)))
    return statuses


if __name__ == "__main__":
    for status, count in asyncio.run(flood(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))).items():
        sys.stdout.write(f"{status} {count}\n")
