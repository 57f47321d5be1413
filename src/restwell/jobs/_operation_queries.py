"""SQL of operators: lists, counts, changes of jobs, paused queues and cron runs. None reads all jobs of a state."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    tuple_,
    union_all,
    update,
)

from restwell.database import Timestamp, any_of, columns_of, insert_or_ignore, insert_row, param, query
from restwell.database._clock import db_now
from restwell.jobs._queries import MAX_BATCH, is_in
from restwell.jobs._rows import (
    BulkChange,
    CronRun,
    Examined,
    FailedAttempt,
    JobPosition,
    JobRecord,
    LastError,
    PausedQueue,
    QueueCount,
    QueueHead,
)
from restwell.jobs._tables import FINISHED, UNFINISHED, JobState, bulk_changes, cron_runs, failures, jobs, paused_queues

WINDOW: Final = 10_000
"""The most jobs that a list or a count examines."""
MAX_AGE_ROWS: Final = 1_000
MAX_HEADS: Final = 200
"""The most pairs of queue and priority of which the next ready job is read."""

LAST_INSTANT: Final = datetime(9999, 12, 31, tzinfo=UTC)
START: Final = JobPosition(LAST_INSTANT, UUID(int=2**128 - 1))
"""Before the newest job."""


def _constant(limit: int) -> ColumnElement[int]:
    """A limit in the SQL: for a parameter, PostgreSQL may plan for a tenth of the table."""
    return literal_column(str(limit), Integer)


# --- one job

find: Final = query("jobs.find", select(*columns_of(jobs, JobRecord)).where(jobs.c.id == param("id")), into=JobRecord)
failures_of: Final = query(
    "jobs.failures_of",
    select(*columns_of(failures, FailedAttempt))
    .where(failures.c.job_id == param("job_id"))
    .order_by(failures.c.fencing_token.desc())
    .limit(100),
    into=FailedAttempt,
)
_CANCELLED: Final[dict[str, Any]] = {
    "state": JobState.CANCELLED,
    "finished_at": db_now(),
    "lease_until": None,
    # With a new fencing token, the current worker can neither complete the job nor extend its lease.
    "fencing_token": jobs.c.fencing_token + 1,
}
_RETRIED: Final[dict[str, Any]] = {
    "state": JobState.READY,
    "attempts": 0,
    "run_at": db_now(),
    "finished_at": None,
    "requires": None,
}
_RETRIABLE: Final = (JobState.DEAD, JobState.CANCELLED)
cancel: Final = query(
    "jobs.cancel", update(jobs).where(jobs.c.id == param("job_id"), is_in(*UNFINISHED)).values(_CANCELLED)
)
retry: Final = query(
    "jobs.retry",
    update(jobs).where(jobs.c.id == param("job_id"), is_in(*_RETRIABLE)).values(_RETRIED).returning(jobs.c.queue),
    into=str,
)
discard: Final = query("jobs.discard", delete(jobs).where(jobs.c.id == param("job_id"), is_in(*FINISHED)))

# --- lists: finished jobs by finished_at, others by id, which is the order of enqueueing; the newest first

_FINISHED_KEY: Final = (jobs.c.finished_at, jobs.c.id)
_UNFINISHED_KEY: Final = (jobs.c.id,)


def _before(key: Sequence[Any], limit: int, *selected: Any) -> Select[Any]:
    """Jobs in ``state`` before the position, the newest first. An index has them in this order."""
    position = [bindparam(f"before_{one.name}", type_=one.type, required=True) for one in key]
    before = tuple_(*key) < tuple_(*position) if len(key) > 1 else key[0] < position[0]
    states = FINISHED if len(key) > 1 else UNFINISHED
    return (
        select(*key, *selected)
        .where(jobs.c.state == param("state"), is_in(*states), before)
        .order_by(*(one.desc() for one in key))
        .limit(_constant(limit))
    )


def _window(key: Sequence[Any]) -> Subquery:
    return _before(key, WINDOW, jobs.c.queue, jobs.c.name).subquery("examined")


def _matches(table: Any) -> ColumnElement[bool]:
    """Whether a job has the ``queue`` and the ``name``; None is any."""
    queue, name = (bindparam(each, type_=Text(), required=True) for each in ("queue", "name"))
    return or_(queue.is_(None), table.c.queue == queue) & or_(name.is_(None), table.c.name == name)


def _listed(key: Sequence[Any]) -> Select[Any]:
    window = _window(key)
    order = [window.c[one.name].desc() for one in key]
    found = select(window.c.id).where(_matches(window)).order_by(*order).limit(param("count")).subquery("found")
    return (
        select(*columns_of(jobs, JobRecord))
        .join(found, found.c.id == jobs.c.id)
        .order_by(*(one.desc() for one in key))
        .limit(param("count"))
    )


def _last_examined(key: Sequence[Any]) -> Select[Any]:
    """The position of the last job of a window, if there are as many jobs. The index has it."""
    finished_at = () if len(key) > 1 else (null().cast(Timestamp).label("finished_at"),)
    return _before(key, 1, *finished_at).offset(_constant(WINDOW - 1))


def arguments_of(state: str, before: JobPosition | None) -> dict[str, Any]:
    """The arguments of a list for a state and a position; None is the start."""
    position = before or START
    arguments: dict[str, Any] = {"state": state, "before_id": position.id}
    if state in FINISHED:
        arguments["before_finished_at"] = position.finished_at or LAST_INSTANT
    return arguments


finished: Final = query("jobs.finished", _listed(_FINISHED_KEY), into=JobRecord)
unfinished: Final = query("jobs.unfinished", _listed(_UNFINISHED_KEY), into=JobRecord)
last_finished: Final = query("jobs.last_finished", _last_examined(_FINISHED_KEY), into=JobPosition)
last_unfinished: Final = query("jobs.last_unfinished", _last_examined(_UNFINISHED_KEY), into=JobPosition)
last_errors: Final = query(
    "jobs.last_errors",
    select(failures.c.job_id, failures.c.error)
    .where(
        any_of(failures.c.job_id, "job_ids"),
        failures.c.fencing_token
        == select(func.max((other := failures.alias("other")).c.fencing_token))
        .where(other.c.job_id == failures.c.job_id)
        .scalar_subquery(),
    )
    .limit(WINDOW),
    into=LastError,
)

# --- counts


def _first_of(state: JobState) -> Subquery:
    """The queues of the first jobs in a state, one more than are counted."""
    order = jobs.c.finished_at if state in FINISHED else jobs.c.id
    states = FINISHED if state in FINISHED else UNFINISHED
    first = select(jobs.c.queue).where(is_in(state), is_in(*states)).order_by(order).limit(_constant(WINDOW + 1))
    return first.subquery(str(state))


def _count_of(state: JobState) -> Select[Any]:
    first = _first_of(state)
    return select(
        first.c.queue, literal_column(f"'{state}'", Text).label("state"), func.count().label("count")
    ).group_by(first.c.queue)


counts: Final = query(
    "jobs.counts",
    union_all(*map(_count_of, (JobState.SCHEDULED, JobState.RUNNING, JobState.PARKED, JobState.DEAD))).limit(WINDOW),
    into=QueueCount,
)
_IN_ORDER: Final = "state = 'ready' AND queue = heads.queue ORDER BY priority DESC, id"
_HEADS: Final = text(f"""
WITH RECURSIVE heads (queue, priority, run_at, is_first, number) AS (
  SELECT * FROM (
    SELECT queue, priority, run_at, 1, 1 FROM jobs WHERE state = 'ready' ORDER BY queue, priority DESC, id LIMIT 1
  ) AS first_head
  UNION ALL
  SELECT jobs.queue, jobs.priority, jobs.run_at, CASE WHEN jobs.queue = heads.queue THEN 0 ELSE 1 END, heads.number + 1
  FROM heads JOIN jobs ON jobs.id = coalesce(
    (SELECT id FROM jobs AS lower WHERE state = 'ready' AND queue = heads.queue AND priority < heads.priority
     ORDER BY priority DESC, id LIMIT 1),
    (SELECT id FROM jobs AS later WHERE state = 'ready' AND queue > heads.queue
     ORDER BY queue, priority DESC, id LIMIT 1)
  ) WHERE heads.number < {MAX_HEADS}
)
SELECT queue, run_at,
  CASE WHEN is_first = 1 THEN
    (SELECT count(*) FROM (SELECT id FROM jobs WHERE {_IN_ORDER} LIMIT {WINDOW + 1}) AS counted)
  END AS count,
  CASE WHEN is_first = 1 THEN
    (SELECT min(run_at) FROM (SELECT run_at FROM jobs WHERE {_IN_ORDER} LIMIT {MAX_AGE_ROWS}) AS aged)
  END AS oldest
FROM heads LIMIT {MAX_HEADS}
""").columns(  # noqa: S608  # constants
    column("queue", Text), column("run_at", Timestamp), column("count", Integer), column("oldest", Timestamp)
)
ready_heads: Final = query("jobs.ready_heads", _HEADS, into=QueueHead)


def _count_matching(key: Sequence[Any]) -> Select[Any]:
    window = _window(key)
    return select(
        func.coalesce(func.sum(case((_matches(window), 1), else_=0)), 0).label("matching"),
        func.count().label("examined"),
    ).limit(1)


count_finished: Final = query("jobs.count_finished", _count_matching(_FINISHED_KEY), into=Examined)
count_unfinished: Final = query("jobs.count_unfinished", _count_matching(_UNFINISHED_KEY), into=Examined)

# --- bulk changes


def _batch(key: Sequence[Any]) -> Select[Any]:
    finished_at = () if len(key) > 1 else (null().cast(Timestamp).label("finished_at"),)
    return _before(key, MAX_BATCH, *finished_at, jobs.c.unique_key, _matches(jobs).label("matches"))


finished_batch: Final = query("jobs.finished_batch", _batch(_FINISHED_KEY), into=dict)
unfinished_batch: Final = query("jobs.unfinished_batch", _batch(_UNFINISHED_KEY), into=dict)
_chosen: Final = (any_of(jobs.c.id, "ids"), jobs.c.state == param("match_state"))
_holder: Final = jobs.alias("holder")
_key_is_free: Final = ~exists(
    select(_holder.c.id)
    .where(_holder.c.unique_key == jobs.c.unique_key, is_in(*UNFINISHED, table=_holder))
    .correlate(jobs)
)
retry_many: Final = query(
    "jobs.retry_many",
    update(jobs).where(*_chosen, is_in(*_RETRIABLE), _key_is_free).values(_RETRIED).returning(jobs.c.queue),
    into=str,
)
cancel_many: Final = query("jobs.cancel_many", update(jobs).where(*_chosen, is_in(*UNFINISHED)).values(_CANCELLED))
discard_many: Final = query("jobs.discard_many", delete(jobs).where(*_chosen, is_in(*FINISHED)))
insert_bulk_change: Final = query(
    "jobs.insert_bulk_change",
    insert_row(
        bulk_changes,
        ("job_id", "action", "state", "queue", "name", "before_id"),
        requested_at=db_now(),
        before_finished_at=db_now(),
        examined=0,
        changed=0,
    ),
)
_of_job: Final = bulk_changes.outerjoin(jobs, jobs.c.id == bulk_changes.c.job_id)
_bulk_change: Final = select(*columns_of(bulk_changes, BulkChange, job_state=jobs.c.state)).select_from(_of_job)
find_bulk_change: Final = query(
    "jobs.find_bulk_change", _bulk_change.where(bulk_changes.c.job_id == param("job_id")), into=BulkChange
)
latest_bulk_changes: Final = query(
    "jobs.latest_bulk_changes",
    _bulk_change.order_by(bulk_changes.c.job_id.desc()).limit(param("count")),
    into=BulkChange,
)
_finished_at: Final = bindparam("finished_at", type_=Timestamp, required=True)
advance_bulk_change: Final = query(
    "jobs.advance_bulk_change",
    update(bulk_changes)
    .where(bulk_changes.c.job_id == param("match_job_id"), bulk_changes.c.before_id == param("match_before_id"))
    .values(
        before_finished_at=func.coalesce(_finished_at, bulk_changes.c.before_finished_at),
        before_id=param("id"),
        examined=bulk_changes.c.examined + param("more_examined"),
        changed=bulk_changes.c.changed + param("more_changed"),
    ),
)

# --- queues and cron

pause: Final = query("jobs.pause", insert_or_ignore(paused_queues, ["queue"], paused_at=db_now()))
resume: Final = query("jobs.resume", delete(paused_queues).where(paused_queues.c.queue == param("queue")))
paused: Final = query(
    "jobs.paused", select(paused_queues).order_by(paused_queues.c.queue).limit(1_000), into=PausedQueue
)
cron_jobs: Final = query(
    "jobs.cron_jobs",
    select(*columns_of(cron_runs, CronRun, state=jobs.c.state))
    .select_from(cron_runs.outerjoin(jobs, jobs.c.id == cron_runs.c.job_id))
    .limit(1_000),
    into=CronRun,
)
