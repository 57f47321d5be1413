"""SQL of jobs. Each change of a job's state is one statement, and says in which state, and under which fencing_token, the job must be."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Integer,
    MetaData,
    Text,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ClauseElement, FromClause

from restwell.database import Id, Timestamp, db_now, param, query
from restwell.jobs.rows import ClaimedJob, Ended, ExpiredJob, FailedAttempt, JobRecord, QueueStats
from restwell.jobs.tables import FINISHED, UNFINISHED, JobState, job_tables

jobs, failures, cron_runs = job_tables(MetaData())

MANY: Final = 1_000
"""So many rows are changed by one statement, so that it locks them for a short time; there may be more."""


def _is(*states: JobState) -> Any:
    """In one of the states, written out in the SQL, so that the index of that state is known to do."""
    written = [literal_column(f"'{state}'", Text) for state in states]
    return jobs.c.state == written[0] if len(written) == 1 else jobs.c.state.in_(written)


def is_unfinished(job_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Whether the job whose id is in a column will run, or runs: for the state of what the job makes.

    False once it is done, dead, cancelled or deleted, however that came about.
    """
    return exists().where(jobs.c.id == job_id, _is(*UNFINISHED))


def _columns(kind: type[Any]) -> list[Any]:
    return [jobs.c[name] for name in kind.__struct_fields__]


def _rows(dialect: str, *texts: str) -> FromClause:
    """The argument ``rows`` as a table: a JSON array of objects with a job's ``id`` (hexadecimal), its ``fencing_token``, and ``texts``."""
    rows = bindparam("rows", type_=JSON(), required=True)
    if dialect == "postgresql":
        typed: list[Any] = [column("id", Id), column("fencing_token", Integer), *(column(name, Text) for name in texts)]
        record = func.json_to_recordset(rows).table_valued(*typed)
        return record.render_derived(name="rows", with_types=True)
    value: dict[str, Any] = {name: literal_column(f"value ->> '{name}'") for name in ("id", "fencing_token", *texts)}
    each = func.json_each(rows).table_valued("value")
    columns: list[Any] = [func.unhex(value.pop("id")).label("id"), *(part.label(name) for name, part in value.items())]
    return select(*columns).select_from(each).subquery("rows")


def _change(dialect: str, *texts: str, **values: Any) -> ClauseElement:
    """Change those of ``rows`` that still run under their fencing_token; gives their ids. ``values`` may be made of the row."""
    rows = _rows(dialect, *texts)
    made = {name: value(rows) if callable(value) else value for name, value in values.items()}
    return (
        update(jobs)
        .where(jobs.c.id == rows.c.id, jobs.c.fencing_token == rows.c.fencing_token, _is(JobState.RUNNING))
        .values(made)
        .returning(jobs.c.id)
    )


def _on_both(*texts: str, **values: Any) -> dict[str, ClauseElement]:
    return {dialect: _change(dialect, *texts, **values) for dialect in ("postgresql", "sqlite")}


def _some(where: Any, order_by: Any, *, count: int) -> Any:
    """The condition of being one of a few, each locked and none of those that another has locked already.

    A CTE, which runs once; a subquery with a limit may run again for each row, and lock more.
    """
    some = select(jobs.c.id).where(where).order_by(order_by).limit(count).with_for_update(skip_locked=True).cte("some")
    return jobs.c.id.in_(select(some.c.id))


# --- the producers' side

_new: Final = {
    **{c.name: param(c.name) for c in jobs.columns if c.name in {
        "id", "name", "queue", "priority", "state", "arguments", "unique_key", "max_attempts", "request_id", "traceparent"
    }},
    "attempts": 0,
    "fencing_token": 0,
    "isolated": False,
    "enqueued_at": db_now(),
    "run_at": db_now(in_seconds="delay_seconds"),
}  # fmt: skip

insert_job: Final = query("jobs.insert", insert(jobs).values(_new))
insert_unique: Final = query(
    "jobs.insert_unique",
    {
        "postgresql": postgresql.insert(jobs).values(_new).on_conflict_do_nothing().returning(jobs.c.id),
        "sqlite": sqlite.insert(jobs).values(_new).on_conflict_do_nothing().returning(jobs.c.id),
    },
    into=UUID,
)
of_key: Final = query(
    "jobs.of_key", select(jobs.c.id).where(jobs.c.unique_key == param("unique_key"), _is(*UNFINISHED)), into=UUID
)
find: Final = query("jobs.find", select(*_columns(JobRecord)).where(jobs.c.id == param("id")), into=JobRecord)
failures_of: Final = query(
    "jobs.failures_of",
    select(*(failures.c[name] for name in FailedAttempt.__struct_fields__))
    .where(failures.c.job_id == param("job_id"))
    .order_by(failures.c.fencing_token.desc())
    .limit(100),
    into=FailedAttempt,
)
cancel: Final = query(
    "jobs.cancel",
    update(jobs)
    .where(jobs.c.id == param("job_id"), _is(*UNFINISHED))
    # The fencing_token goes on: whoever runs it now can neither complete it nor extend its lease.
    .values(state=JobState.CANCELLED, finished_at=db_now(), lease_until=None, fencing_token=jobs.c.fencing_token + 1),
)
retry: Final = query(
    "jobs.retry",
    update(jobs)
    .where(jobs.c.id == param("job_id"), _is(JobState.DEAD, JobState.CANCELLED))
    .values(state=JobState.READY, attempts=0, run_at=db_now(), finished_at=None, requires=None)
    .returning(jobs.c.queue),
    into=str,
)
discard: Final = query("jobs.discard", delete(jobs).where(jobs.c.id == param("job_id"), _is(*FINISHED)))
# The newest first: of those that have ended, by when they did, as their index has it; of the others, by when they were enqueued.
_ended_newest: Final = (
    select(*_columns(JobRecord))
    .where(jobs.c.state == param("state"), _is(*FINISHED))
    .order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())
    .limit(param("count"))
)
_unfinished_newest: Final = (
    select(*_columns(JobRecord)).where(jobs.c.state == param("state")).order_by(jobs.c.id.desc()).limit(param("count"))
)
_before: Final = (
    bindparam("before", type_=Timestamp, required=True),
    bindparam("before_id", type_=Id, required=True),
)
ended: Final = query("jobs.ended", _ended_newest, into=JobRecord)
ended_before: Final = query(
    "jobs.ended_before",
    _ended_newest.where(tuple_(jobs.c.finished_at, jobs.c.id) < tuple_(*_before)),
    into=JobRecord,
)
unfinished: Final = query("jobs.unfinished", _unfinished_newest, into=JobRecord)
unfinished_before: Final = query(
    "jobs.unfinished_before", _unfinished_newest.where(jobs.c.id < param("before_id")), into=JobRecord
)
backlog: Final = query(
    "jobs.backlog",
    select(
        jobs.c.queue,
        jobs.c.state,
        func.count().label("count"),
        func.min(jobs.c.run_at).label("oldest"),
    )
    .where(_is(*UNFINISHED, JobState.DEAD))
    .group_by(jobs.c.queue, jobs.c.state)
    .limit(1_000),
    into=QueueStats,
)

# --- the workers' side

_TAKEN: Final = {
    "state": JobState.RUNNING,
    "attempts": jobs.c.attempts + 1,
    "fencing_token": jobs.c.fencing_token + 1,
    "worker": param("worker"),
    "lease_until": db_now(in_seconds="lease_seconds"),
    "started_at": db_now(),
}


def _claim_on_postgresql() -> ClauseElement:
    """From each queue in the order given, until there are enough. Rows are locked as they are taken, so none is locked in vain."""
    queues = (
        func.unnest(bindparam("queues", type_=ARRAY(Text), required=True)).table_valued("name").render_derived("named")
    )
    count = bindparam("count", type_=Integer(), required=True)
    first = (
        select(jobs.c.id)
        .where(_is(JobState.READY), jobs.c.queue == queues.c.name)
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
        .lateral("first")
    )
    taken = select(first.c.id).select_from(queues.join(first, true())).limit(count).cte("taken")
    return update(jobs).where(jobs.c.id == taken.c.id).values(_TAKEN).returning(*_columns(ClaimedJob))


def _claim_on_sqlite() -> ClauseElement:
    """From one queue: of a database with one writer, one after the other."""
    first = (
        select(jobs.c.id)
        .where(_is(JobState.READY), jobs.c.queue == param("queue"))
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(param("count"))
    )
    return update(jobs).where(jobs.c.id.in_(first)).values(_TAKEN).returning(*_columns(ClaimedJob))


claim: Final = query(
    "jobs.claim", {"postgresql": _claim_on_postgresql(), "sqlite": _claim_on_sqlite()}, into=ClaimedJob
)
is_there_any: Final = query(
    "jobs.is_there_any",
    select(jobs.c.id).where(_is(JobState.READY), jobs.c.queue == param("queue")).limit(1),
    into=UUID,
)
extend: Final = query("jobs.extend", _on_both(lease_until=db_now(in_seconds="lease_seconds")), into=UUID)
complete: Final = query(
    "jobs.complete",
    _on_both(
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
    _on_both(state=JobState.READY, attempts=jobs.c.attempts - 1, lease_until=None),
    into=UUID,
)
park: Final = query(
    "jobs.park",
    _on_both(
        "requires",
        state=JobState.PARKED,
        attempts=jobs.c.attempts - 1,
        lease_until=db_now(in_seconds="parked_seconds"),
        requires=lambda rows: rows.c.requires,
    ),
    into=UUID,
)


def _known(dialect: str) -> FromClause:
    """The argument ``known`` as a table with the column ``value``: an array, or on SQLite a JSON array."""
    if dialect == "postgresql":
        array = bindparam("known", type_=ARRAY(Text), required=True)
        return func.unnest(array).table_valued("value").render_derived("known")
    return func.json_each(bindparam("known", type_=JSON(), required=True)).table_valued("value", name="known")


def _first_parked(requires: Any) -> Any:
    """Asked for one value after the other, and in an order that only the index of parked jobs has: whatever else is parked, and
    whatever the database believes of it, each is one look there.
    """
    parked = select(jobs.c.id).where(_is(JobState.PARKED), jobs.c.requires == requires)
    return parked.order_by(jobs.c.run_at).limit(1).scalar_subquery()


parked_known: Final = query(
    "jobs.parked_known",
    {
        dialect: select(known.c.value).where(_first_parked(known.c.value).is_not(null())).limit(100)
        for dialect, known in ((dialect, _known(dialect)) for dialect in ("postgresql", "sqlite"))
    },
    into=str,
)
unpark: Final = query(
    "jobs.unpark",
    update(jobs)
    .where(_some(_is(JobState.PARKED) & (jobs.c.requires == param("required")), jobs.c.run_at, count=MANY))
    .values(state=JobState.READY, requires=None, lease_until=None)
    .returning(jobs.c.queue),
    into=str,
)
_is_last: Final = jobs.c.attempts >= jobs.c.max_attempts
fail: Final = query(
    "jobs.fail",
    update(jobs)
    .where(jobs.c.id == param("job_id"), jobs.c.fencing_token == param("match_fencing_token"), _is(JobState.RUNNING))
    .values(
        state=case((_is_last | param("permanent"), JobState.DEAD), else_=JobState.SCHEDULED),
        finished_at=case((_is_last | param("permanent"), db_now()), else_=null()),
        run_at=db_now(in_seconds="delay_seconds"),
        lease_until=None,
    )
    .returning(jobs.c.id, jobs.c.state),
    into=Ended,
)
expire: Final = query(
    "jobs.expire",
    update(jobs)
    .where(
        _some(_is(JobState.RUNNING, JobState.PARKED) & (jobs.c.lease_until < db_now()), jobs.c.lease_until, count=MANY)
    )
    .values(
        state=case((_is_last | _is(JobState.PARKED), JobState.DEAD), else_=JobState.READY),
        finished_at=case((_is_last | _is(JobState.PARKED), db_now()), else_=null()),
        isolated=True,
        lease_until=None,
    )
    .returning(*_columns(ExpiredJob)),
    into=ExpiredJob,
)
is_any_expired: Final = query(
    "jobs.is_any_expired",
    select(jobs.c.id)
    .where(_is(JobState.RUNNING, JobState.PARKED), jobs.c.lease_until < db_now())
    .order_by(jobs.c.lease_until)
    .limit(1),
    into=UUID,
)
end_leases: Final = query(
    "jobs.end_leases",
    update(jobs)
    .where(_is(JobState.RUNNING), jobs.c.worker == param("match_worker"))
    .values(lease_until=db_now(in_seconds="in_seconds")),
)
insert_failure: Final = query(
    "jobs.insert_failure",
    insert(failures).values(
        {c.name: param(c.name) for c in failures.columns if c.name != "failed_at"} | {"failed_at": db_now()}
    ),
)
is_any_due: Final = query(
    "jobs.is_any_due",
    select(jobs.c.id).where(_is(JobState.SCHEDULED), jobs.c.run_at <= db_now()).order_by(jobs.c.run_at).limit(1),
    into=UUID,
)
promote: Final = query(
    "jobs.promote",
    update(jobs)
    .where(_some(_is(JobState.SCHEDULED) & (jobs.c.run_at <= db_now()), jobs.c.run_at, count=MANY))
    .values(state=JobState.READY)
    .returning(jobs.c.queue),
    into=str,
)
prune: Final = query(
    "jobs.prune",
    delete(jobs).where(
        _some(
            (jobs.c.state == param("state")) & _is(*FINISHED) & (jobs.c.finished_at < db_now(in_seconds="in_seconds")),
            jobs.c.finished_at,
            count=MANY,
        )
    ),
)

# --- cron

database_time: Final = query("jobs.database_time", select(db_now().label("now")), into=datetime)
latest_cron_runs: Final = query(
    "jobs.latest_cron_runs", select(cron_runs.c.name, cron_runs.c.scheduled_at).limit(10_000), into=dict
)
insert_cron_run: Final = query(
    "jobs.insert_cron_run",
    {
        "postgresql": postgresql.insert(cron_runs)
        .values(name=param("name"), scheduled_at=param("scheduled_at"))
        .on_conflict_do_nothing(),
        "sqlite": sqlite.insert(cron_runs)
        .values(name=param("name"), scheduled_at=param("scheduled_at"))
        .on_conflict_do_nothing(),
    },
)
advance_cron_run: Final = query(
    "jobs.advance_cron_run",
    update(cron_runs)
    .where(cron_runs.c.name == param("match_name"), cron_runs.c.scheduled_at == param("match_scheduled_at"))
    .values(scheduled_at=param("next_at")),
)
