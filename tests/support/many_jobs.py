"""Many jobs in one statement, for tests and measurements of lists and counts."""

from restwell.database import Database

_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n AS (SELECT i FROM generate_series({first}::bigint, {last}) i)",
}
_ID = {
    "sqlite": "unhex(printf('0192{kind}%024x', i))",
    "postgresql": "('0192{kind}' || lpad(to_hex(i), 24, '0'))::uuid",
}
_NOW = {"sqlite": "CAST(unixepoch('subsec') * 1000000 AS INTEGER)", "postgresql": "now()"}
_LATER = {"sqlite": "{now} + 60000000", "postgresql": "{now} + interval '60 s'"}
_KINDS = {"scheduled": 1, "ready": 2, "running": 3, "parked": 4, "done": 5, "dead": 6, "cancelled": 7}
_INSERT = """{numbers} INSERT INTO jobs (id, name, queue, priority, state, arguments, attempts, max_attempts,
fencing_token, isolated, run_at, enqueued_at, finished_at, lease_until, requires)
SELECT {id}, '{name}', '{queue}', 0, '{state}', '{{"text":"a"}}', 0, 5, 0, {no}, {run_at}, {now}, {finished}, {lease},
{requires} FROM n"""


async def add_jobs(
    database: Database, state: str, count: int, *, queue: str = "default", name: str = "note", first: int = 1
) -> None:
    """Insert ``count`` jobs, whose ids begin with ``first``. Later numbers are newer."""
    dialect = database.dialect
    now = _NOW[dialect]
    async with database.migration() as tx:
        await tx.run_script(
            _INSERT.format(
                numbers=_NUMBERS[dialect].format(first=first, last=first + count - 1),
                id=_ID[dialect].format(kind=f"00{_KINDS[state]:02}"),
                now=now,
                name=name,
                queue=queue,
                state=state,
                no="0" if dialect == "sqlite" else "false",
                finished=now if state in {"done", "dead", "cancelled"} else "NULL",
                run_at=_LATER[dialect].format(now=now) if state == "scheduled" else now,
                lease=_LATER[dialect].format(now=now) if state in {"running", "parked"} else "NULL",
                requires="'gone'" if state == "parked" else "NULL",
            )
        )
