"""What the workers of an application work on."""

from typing import Any

import pytest

from restwell import App, Restwell
from restwell._supervisor import worker_options
from restwell.errors import ConfigurationError
from restwell.jobs import Job, job
from restwell.settings import JobsSettings, Settings
from restwell.web import Feature


@job()
def write() -> None: ...


@job(queue="mail")
def send() -> None: ...


@job(queue="mail")
def send_again() -> None: ...


def app_of_jobs(settings: Settings, *jobs: Job[..., Any]) -> App:
    changed = settings.model_copy(update={"jobs": JobsSettings(done_retention_seconds=5, dead_retention_seconds=7)})
    return Restwell(changed, name="things").app([Feature(jobs=jobs)])


def test_a_worker_works_on_every_queue_of_the_application_unless_some_are_named(tiny_settings: Settings) -> None:
    """Breaks when the order of the named queues, which is their precedence, is lost, and without that of operations."""
    app = app_of_jobs(tiny_settings, send, send_again, write)
    assert worker_options(app, ()).queues == ("mail", "default", "restwell")
    options = worker_options(app, ("default", "mail"), concurrency=3)
    assert (options.queues, options.concurrency) == (("default", "mail", "restwell"), 3)
    assert (options.done_retention_seconds, options.dead_retention_seconds) == (5, 7)


def test_each_queue_without_a_job_is_named(tiny_settings: Settings) -> None:
    """Breaks when a misspelt queue is accepted: its worker would wait forever."""
    app = app_of_jobs(tiny_settings, send, write)
    with pytest.raises(ConfigurationError) as refused:
        worker_options(app, ("mails", "mail", "defaults"))
    assert refused.value.faults == [
        "queue mails has no jobs; the queues are mail, default, restwell",
        "queue defaults has no jobs; the queues are mail, default, restwell",
    ]
