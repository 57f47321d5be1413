"""Enqueues a job and exits after the commit, before the notification: a crash between the two."""

import asyncio
import os
import sys

import sample_jobs
from restwell.database import Transaction, open_database
from restwell.database._transaction import TransactionHook
from restwell.jobs import Jobs
from restwell.jobs._notifier import open_notifier


class ExitAfterCommit(TransactionHook):
    async def before_commit(self, tx: Transaction) -> None: ...

    async def committed(self) -> None:
        os._exit(0)

    def rolled_back(self) -> None: ...

    def outcome_unknown(self) -> None: ...


def main() -> None:
    asyncio.run(_enqueue(sys.argv[1], sys.argv[2] or None, int(sys.argv[3])))


async def _enqueue(url: str, broker_url: str | None, number: int) -> None:
    async with open_database(url, 1) as database:
        jobs = Jobs(database, open_notifier(database, url, broker_url, "jobs_app"))
        jobs.register([sample_jobs.slow_effect])
        async with database.transaction() as tx:
            tx.hooks.append(ExitAfterCommit())
            await jobs.enqueue(tx, sample_jobs.slow_effect, number=number, seconds=0.0)
