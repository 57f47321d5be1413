"""What all notifiers share: messages in the background, and one log line when a broker goes or returns."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from restwell.jobs._notifier import base
from restwell.jobs._notifier.base import MAX_NOTIFICATIONS, BackgroundNotifier, BrokerStatus


class Recorder(BackgroundNotifier):
    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.sent: list[dict[str, int]] = []
        self._seconds = seconds

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None: ...

    async def _send(self, counts: Mapping[str, int]) -> None:
        await asyncio.sleep(self._seconds)
        self.sent.append(dict(counts))


async def test_notifications_during_a_send_are_one_message_with_a_maximum() -> None:
    """Breaks without the combination: a thousand commits would be a thousand messages, one after the other."""
    notifier = Recorder(seconds=0.01)
    notifier.notify({"default": 1})
    await asyncio.sleep(0)  # the first message is on its way
    for _ in range(1_000):
        notifier.notify({"default": 1, "mail": 1})
    notifier.notify({"images": 2})
    await notifier.close()
    many = MAX_NOTIFICATIONS
    assert notifier.sent == [{"default": 1}, {"default": many, "mail": many, "images": 2}]


async def test_close_waits_for_the_last_message_and_not_for_a_broker_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Breaks without the wait, or without its limit: a shutdown would lose a message, or never end."""
    sending, hanging = Recorder(seconds=0.05), Recorder(seconds=60)
    sending.notify({"default": 1})
    await sending.close()
    assert sending.sent == [{"default": 1}]
    monkeypatch.setattr(base, "CLOSE_SECONDS", 0.1)
    hanging.notify({"default": 1})
    began = time.monotonic()
    await hanging.close()
    assert time.monotonic() - began < 5
    assert hanging.sent == []


def test_a_broker_that_goes_and_returns_is_logged_once_each() -> None:
    status = BrokerStatus("redis")
    with capture_logs() as lines:
        status.mark_up()
        for _ in range(3):
            status.mark_down(OSError("refused"))
        for _ in range(3):
            status.mark_up()
        status.mark_down(OSError("refused"))
    assert [(line["event"], line["broker"]) for line in lines] == [
        ("jobs_broker_down", "redis"),
        ("jobs_broker_up", "redis"),
        ("jobs_broker_down", "redis"),
    ]
    assert lines[0]["cause"] == "OSError('refused')"
