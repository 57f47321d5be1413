"""The queue and the thread that export traces: bounded, and independent of the collector."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from restwell.observability import _trace_export as module
from restwell.observability._recent_requests import Ended
from restwell.observability._trace import Trace
from restwell.observability._trace_export import MAX_BATCH, MAX_QUEUED, TraceExport

ENDED = Ended(Trace("a" * 32, "b" * 16), 0.0, 1.0, 1.0)


class Collecting:
    """A sender whose collector accepts, refuses or hangs."""

    def __init__(self, respond: Callable[[], str | None] = lambda: None) -> None:
        self.sizes: list[int] = []
        self.respond = respond

    def send(self, traces: Sequence[Ended]) -> str | None:
        self.sizes.append(len(traces))
        return self.respond()

    def close(self) -> None: ...


def counts(export: TraceExport) -> dict[str, float]:
    return {
        sample.labels.get("reason", "exported"): sample.value
        for family in export.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def test_what_is_queued_is_sent_in_batches_at_the_end_of_the_process() -> None:
    """Breaks when close does not wait for the thread: the last traces before a deploy would be lost."""
    sender = Collecting(lambda: time.sleep(0.05))
    export = TraceExport(sender)
    for _ in range(MAX_BATCH + 5):
        export.add(ENDED)
    export.start()
    export.close()
    assert (sum(sender.sizes), max(sender.sizes)) == (MAX_BATCH + 5, MAX_BATCH)
    assert counts(export) == {"exported": MAX_BATCH + 5, "queue_full": 0, "collector": 0, "shutdown": 0}
    export.close()  # again


def test_a_full_queue_drops_new_traces_and_counts_them() -> None:
    """Breaks without the limit: a dead collector would grow the memory."""
    export = TraceExport(Collecting())
    for _ in range(MAX_QUEUED + 3):
        export.add(ENDED)
    assert (len(export._queue), counts(export)["queue_full"]) == (MAX_QUEUED, 3)


def test_a_collector_that_fails_is_logged_once_and_again_when_it_works() -> None:
    outcomes: list[str | None] = ["code: 401", "code: 401", None]
    sender = Collecting(lambda: outcomes.pop(0))
    export = TraceExport(sender)
    with capture_logs() as lines:
        for _ in range(3):
            export._send([ENDED])
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("trace_export_failed", "code: 401"),
        ("trace_export_restored", None),
    ]
    assert counts(export) == {"exported": 1, "queue_full": 0, "collector": 2, "shutdown": 0}


def test_a_collector_that_hangs_delays_the_end_of_the_process_by_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Breaks when close joins the thread without a limit."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.2)
    hang = threading.Event()
    sender = Collecting(lambda: str(hang.wait(10)))
    export = TraceExport(sender)
    for _ in range(MAX_BATCH + 7):
        export.add(ENDED)
    export.start()
    while not sender.sizes:
        time.sleep(0.01)
    began = time.monotonic()
    with capture_logs() as lines:
        export.close()
    assert time.monotonic() - began < 2
    assert [(line["event"], line["queued"]) for line in lines] == [("traces_not_exported", 7)]
    hang.set()


def test_a_collector_that_refuses_is_not_asked_for_each_batch_at_the_end() -> None:
    sender = Collecting(lambda: "refused")
    export = TraceExport(sender)
    for _ in range(MAX_BATCH * 3):
        export.add(ENDED)
    export._closing = True
    export._wake.set()
    with capture_logs():
        export._run()
    assert sender.sizes == [MAX_BATCH]


def test_a_full_batch_is_sent_before_the_interval_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 60.0)
    sender = Collecting()
    export = TraceExport(sender)
    export.start()
    export.start()  # again
    for _ in range(MAX_BATCH):
        export.add(ENDED)
    deadline = time.monotonic() + 5
    while not sender.sizes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sender.sizes == [MAX_BATCH]
    export.close()
