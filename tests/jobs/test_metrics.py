"""The Prometheus metrics of jobs."""

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.jobs._metrics import queue_metrics


async def test_queue_stats_count_jobs_by_queue_and_state(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.note, text="a")
    await harness.enqueue(sample_jobs.note.with_options(delay_seconds=60), text="b")
    await harness.enqueue(sample_jobs.note.with_options(queue="mail"), text="c")
    stats = await harness.jobs.queue_stats()
    (count, age, paused) = queue_metrics(stats, {"default": True, "mail": False})
    assert {sample.labels["queue"]: sample.value for sample in paused.samples} == {"default": 1, "mail": 0}
    assert {sample.labels["queue"]: sample.value < 60 for sample in age.samples} == {"default": True, "mail": True}
    assert sum(sample.value for sample in count.samples) == 3
    found = {(one.queue, one.state): one.count for one in stats}
    assert found == {("default", "ready"): 1, ("default", "scheduled"): 1, ("mail", "ready"): 1}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_attempts_are_counted_by_job_and_outcome(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.note, text="a")
    await harness.enqueue(sample_jobs.fail)
    async with harness.worker([harness.database]) as worker:
        assert sorted(await harness.wait_until_finished()) == ["dead", "done"]
    (durations,) = worker._jobs.metrics.collect()
    found = {
        (one.name.rpartition("_")[2], one.labels["job_name"], one.labels["outcome"]): one for one in durations.samples
    }
    attempts = {key[1:]: sample.value for key, sample in found.items() if key[0] == "count"}
    assert attempts == {("note", "done"): 1, ("fail", "failed"): 2, ("fail", "dead"): 1}
    assert all(sample.value > 0 for key, sample in found.items() if key[0] == "sum")
