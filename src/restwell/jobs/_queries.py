"""SQL of jobs. A state change is one statement, whose WHERE clause requires the expected state and fencing token."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Integer,
    Text,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    true,
    update,
)
from sqlalchemy.sql import ClauseElement, FromClause

from restwell.database import Id, columns_of, insert_or_ignore, insert_row, param, query
from restwell.database._clock import db_now
from restwell.jobs._rows import ClaimedJob, ExpiredJob, FailedJob
from restwell.jobs._tables import FINISHED, UNFINISHED, JobState, cron_runs, failures, jobs, paused_queues

MAX_BATCH: Final = 1_000
"""The most rows that one statement changes, so that it holds its locks for a short time."""


def is_in(*states: JobState, table: FromClause = jobs) -> Any:
    """The condition for these states, as literals, so that the planner can use the partial index of the state."""
    literals = [literal_column(f"'{state}'", Text) for state in states]
    return table.c.state == literals[0] if len(literals) == 1 else table.c.state.in_(literals)


def is_unfinished(job_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """An SQL condition: the job with the id in ``job_id`` is scheduled, ready, running or parked.

    It is false once the job is done, dead, cancelled or deleted. Use it for the state of a resource that a job creates.
    """
    return exists().where(jobs.c.id == job_id, is_in(*UNFINISHED))


def _rows(dialect: str, *texts: str) -> FromClause:
    """The bind ``rows`` as a table: a JSON array of objects with ``id`` (hex), ``fencing_token`` and ``texts``."""
    rows = bindparam("rows", type_=JSON(), required=True)
    if dialect == "postgresql":
        typed: list[Any] = [column("id", Id), column("fencing_token", Integer), *(column(name, Text) for name in texts)]
        record = func.json_to_recordset(rows).table_valued(*typed)
        return record.render_derived(name="rows", with_types=True)
    value: dict[str, Any] = {name: literal_column(f"value ->> '{name}'") for name in ("id", "fencing_token", *texts)}
    each = func.json_each(rows).table_valued("value")
    columns: list[Any] = [func.unhex(value.pop("id")).label("id"), *(part.label(name) for name, part in value.items())]
    return select(*columns).select_from(each).subquery("rows")


def _update_running(dialect: str, *texts: str, **values: Any) -> ClauseElement:
    """Update those of ``rows`` that are running with that fencing token. Returns their ids.

    A callable in ``values`` gets the table of rows and returns the value.
    """
    rows = _rows(dialect, *texts)
    assignments = {name: value(rows) if callable(value) else value for name, value in values.items()}
    return (
        update(jobs)
        .where(jobs.c.id == rows.c.id, jobs.c.fencing_token == rows.c.fencing_token, is_in(JobState.RUNNING))
        .values(assignments)
        .returning(jobs.c.id)
    )


def _for_each_dialect(*texts: str, **values: Any) -> dict[str, ClauseElement]:
    return {dialect: _update_running(dialect, *texts, **values) for dialect in ("postgresql", "sqlite")}


def _in_locked_batch(where: Any, order_by: Any) -> Any:
    """A condition that selects and locks up to MAX_BATCH rows, and skips rows that are already locked.

    It uses a CTE, which runs once. A subquery with a limit may run again for each row, and lock more rows.
    """
    batch = (
        select(jobs.c.id)
        .where(where)
        .order_by(order_by)
        .limit(MAX_BATCH)
        .with_for_update(skip_locked=True)
        .cte("batch")
    )
    return jobs.c.id.in_(select(batch.c.id))


# --- producers

_given: Final = (
    "id", "name", "queue", "priority", "state", "arguments", "unique_key", "max_attempts", "request_id", "traceparent",
)  # fmt: skip
_fixed: Final[dict[str, Any]] = {
    "attempts": 0,
    "fencing_token": 0,
    "isolated": False,
    "enqueued_at": db_now(),
    "run_at": db_now(in_seconds="delay_seconds"),
}

insert_job: Final = query("jobs.insert", insert_row(jobs, _given, **_fixed))
insert_unique: Final = query(
    "jobs.insert_unique", insert_or_ignore(jobs, _given, returning=[jobs.c.id], **_fixed), into=UUID
)
find_by_unique_key: Final = query(
    "jobs.find_by_unique_key",
    select(jobs.c.id).where(jobs.c.unique_key == param("unique_key"), is_in(*UNFINISHED)),
    into=UUID,
)

# --- workers


def _is_paused(queue: Any) -> Any:
    return exists(select(paused_queues.c.queue).where(paused_queues.c.queue == queue).correlate_except(paused_queues))


_CLAIM_VALUES: Final = {
    "state": JobState.RUNNING,
    "attempts": jobs.c.attempts + 1,
    "fencing_token": jobs.c.fencing_token + 1,
    "worker": param("worker"),
    "lease_until": db_now(in_seconds="lease_seconds"),
    "started_at": db_now(),
}


def _claim_on_postgresql() -> ClauseElement:
    """Claim from the queues in the given order. The lateral join locks only the rows that it returns."""
    queues = (
        func.unnest(bindparam("queues", type_=ARRAY(Text), required=True)).table_valued("name").render_derived("named")
    )
    count = bindparam("count", type_=Integer(), required=True)
    first = (
        select(jobs.c.id)
        .where(is_in(JobState.READY), jobs.c.queue == queues.c.name, ~_is_paused(queues.c.name))
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
        .lateral("first")
    )
    claimed = select(first.c.id).select_from(queues.join(first, true())).limit(count).cte("claimed")
    return update(jobs).where(jobs.c.id == claimed.c.id).values(_CLAIM_VALUES).returning(*columns_of(jobs, ClaimedJob))


def _claim_on_sqlite() -> ClauseElement:
    """Claim from one queue. SQLite has one writer, so queues are claimed one after the other."""
    first = (
        select(jobs.c.id)
        .where(is_in(JobState.READY), jobs.c.queue == param("queue"), ~_is_paused(param("queue")))
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(param("count"))
    )
    return update(jobs).where(jobs.c.id.in_(first)).values(_CLAIM_VALUES).returning(*columns_of(jobs, ClaimedJob))


claim: Final = query(
    "jobs.claim", {"postgresql": _claim_on_postgresql(), "sqlite": _claim_on_sqlite()}, into=ClaimedJob
)
has_ready: Final = query(
    "jobs.has_ready",
    select(jobs.c.id)
    .where(is_in(JobState.READY), jobs.c.queue == param("queue"), ~_is_paused(param("queue")))
    .limit(1),
    into=UUID,
)
extend: Final = query("jobs.extend", _for_each_dialect(lease_until=db_now(in_seconds="lease_seconds")), into=UUID)
complete: Final = query(
    "jobs.complete",
    _for_each_dialect(
        "result",
        state=JobState.DONE,
        finished_at=db_now(),
        lease_until=None,
        result=lambda rows: rows.c.result,
    ),
    into=UUID,
)
release: Final = query(
    "jobs.release",
    _for_each_dialect(state=JobState.READY, attempts=jobs.c.attempts - 1, lease_until=None),
    into=UUID,
)
park: Final = query(
    "jobs.park",
    _for_each_dialect(
        "requires",
        state=JobState.PARKED,
        attempts=jobs.c.attempts - 1,
        lease_until=db_now(in_seconds="parked_ttl_seconds"),
        requires=lambda rows: rows.c.requires,
    ),
    into=UUID,
)


def _signatures_table(dialect: str) -> FromClause:
    """The bind ``signatures``, an array or on SQLite a JSON array, as a table with the column ``value``."""
    if dialect == "postgresql":
        array = bindparam("signatures", type_=ARRAY(Text), required=True)
        return func.unnest(array).table_valued("value").render_derived("signatures")
    return func.json_each(bindparam("signatures", type_=JSON(), required=True)).table_valued("value", name="signatures")


def _first_parked(requires: Any) -> Any:
    """The oldest parked job with this signature. The ORDER BY makes the planner use the index of parked jobs."""
    parked = select(jobs.c.id).where(is_in(JobState.PARKED), jobs.c.requires == requires)
    return parked.order_by(jobs.c.run_at).limit(1).scalar_subquery()


parked_for_signatures: Final = query(
    "jobs.parked_for_signatures",
    {
        dialect: select(signatures.c.value).where(_first_parked(signatures.c.value).is_not(null())).limit(100)
        for dialect, signatures in ((dialect, _signatures_table(dialect)) for dialect in ("postgresql", "sqlite"))
    },
    into=str,
)
unpark: Final = query(
    "jobs.unpark",
    update(jobs)
    .where(_in_locked_batch(is_in(JobState.PARKED) & (jobs.c.requires == param("match_signature")), jobs.c.run_at))
    .values(state=JobState.READY, requires=None, lease_until=None)
    .returning(jobs.c.queue),
    into=str,
)
_is_last_attempt: Final = jobs.c.attempts >= jobs.c.max_attempts
fail: Final = query(
    "jobs.fail",
    update(jobs)
    .where(jobs.c.id == param("job_id"), jobs.c.fencing_token == param("match_fencing_token"), is_in(JobState.RUNNING))
    .values(
        state=case((_is_last_attempt | param("permanent"), JobState.DEAD), else_=JobState.SCHEDULED),
        finished_at=case((_is_last_attempt | param("permanent"), db_now()), else_=null()),
        run_at=db_now(in_seconds="delay_seconds"),
        lease_until=None,
    )
    .returning(jobs.c.id, jobs.c.state),
    into=FailedJob,
)
expire: Final = query(
    "jobs.expire",
    update(jobs)
    .where(
        _in_locked_batch(is_in(JobState.RUNNING, JobState.PARKED) & (jobs.c.lease_until < db_now()), jobs.c.lease_until)
    )
    .values(
        state=case((_is_last_attempt | is_in(JobState.PARKED), JobState.DEAD), else_=JobState.READY),
        finished_at=case((_is_last_attempt | is_in(JobState.PARKED), db_now()), else_=null()),
        isolated=True,
        lease_until=None,
    )
    .returning(*columns_of(jobs, ExpiredJob)),
    into=ExpiredJob,
)
has_expired: Final = query(
    "jobs.has_expired",
    select(jobs.c.id)
    .where(is_in(JobState.RUNNING, JobState.PARKED), jobs.c.lease_until < db_now())
    .order_by(jobs.c.lease_until)
    .limit(1),
    into=UUID,
)
expire_leases: Final = query(
    "jobs.expire_leases",
    update(jobs)
    .where(is_in(JobState.RUNNING), jobs.c.worker == param("match_worker"))
    .values(lease_until=db_now(in_seconds="in_seconds")),
)
insert_failure: Final = query("jobs.insert_failure", insert_row(failures, failed_at=db_now()))
has_due: Final = query(
    "jobs.has_due",
    select(jobs.c.id).where(is_in(JobState.SCHEDULED), jobs.c.run_at <= db_now()).order_by(jobs.c.run_at).limit(1),
    into=UUID,
)
promote: Final = query(
    "jobs.promote",
    update(jobs)
    .where(_in_locked_batch(is_in(JobState.SCHEDULED) & (jobs.c.run_at <= db_now()), jobs.c.run_at))
    .values(state=JobState.READY)
    .returning(jobs.c.queue),
    into=str,
)
prune: Final = query(
    "jobs.prune",
    delete(jobs).where(
        _in_locked_batch(
            (jobs.c.state == param("state"))
            & is_in(*FINISHED)
            & (jobs.c.finished_at < db_now(in_seconds="in_seconds")),
            jobs.c.finished_at,
        )
    ),
)

# --- cron

database_time: Final = query("jobs.database_time", select(db_now().label("now")), into=datetime)
latest_cron_runs: Final = query(
    "jobs.latest_cron_runs", select(cron_runs.c.name, cron_runs.c.scheduled_at).limit(10_000), into=dict
)
insert_cron_run: Final = query("jobs.insert_cron_run", insert_or_ignore(cron_runs, ["name", "scheduled_at"]))
advance_cron_run: Final = query(
    "jobs.advance_cron_run",
    update(cron_runs)
    .where(cron_runs.c.name == param("match_name"), cron_runs.c.scheduled_at == param("match_scheduled_at"))
    .values(scheduled_at=param("next_at")),
)
set_cron_job: Final = query(
    "jobs.set_cron_job",
    update(cron_runs).where(cron_runs.c.name == param("match_name")).values(job_id=param("job_id")),
)
