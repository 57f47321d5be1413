"""The kit starts before and closes after the application inside, and the server learns of each failure."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from restwell._lifespan import Lifespan
from restwell.edge._context import AsgiApp, Message, Receive, Scope, Send

COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class Recorded:
    """What happened, in order. ``failing`` are the steps that raise."""

    def __init__(self, *failing: str) -> None:
        self.steps: list[str] = []
        self._failing = failing
        self.messages: list[Message] = []

    async def start(self) -> None:
        self.add("start")

    async def close(self) -> None:
        self.add("close")

    def add(self, step: str) -> None:
        self.steps.append(step)
        if step in self._failing:
            raise RuntimeError(f"no {step}")

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    def inside(self) -> AsgiApp:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            for step in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{step}"
                try:
                    self.add(step)
                except RuntimeError as error:
                    await send({"type": f"lifespan.{step}.failed", "message": str(error)})
                    return
                await send({"type": f"lifespan.{step}.complete"})

        return app


async def run(recorded: Recorded, inside: AsgiApp | None) -> Sequence[str]:
    """The types of the messages that the server got, each with its text."""
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(received)

    await Lifespan(recorded.start, recorded.close, inside)({"type": "lifespan"}, receive, recorded.send)
    return [
        " ".join((each["type"], each["message"]) if "message" in each else (each["type"],))
        for each in recorded.messages
    ]


async def test_the_kit_starts_and_closes() -> None:
    recorded = Recorded()
    assert await run(recorded, None) == COMPLETE
    assert recorded.steps == ["start", "close"]


async def test_the_kit_is_open_while_the_application_inside_starts_and_stops() -> None:
    """Breaks when the kit closes first: the shutdown of the application may still need the database."""
    recorded = Recorded()
    assert await run(recorded, recorded.inside()) == COMPLETE
    assert recorded.steps == ["start", "startup", "shutdown", "close"]


STARTED = "lifespan.startup.complete"
START_FAILED = "lifespan.startup.failed no start"
CLOSE_FAILED = "lifespan.shutdown.failed no close"


@pytest.mark.parametrize(
    ("failing", "has_inside", "steps", "messages"),
    [
        (["start"], False, ["start", "close"], [START_FAILED]),
        (["start"], True, ["start", "close"], [START_FAILED]),
        (["start", "close"], False, ["start", "close"], [START_FAILED]),
        (["close"], False, ["start", "close"], [STARTED, CLOSE_FAILED]),
        (["close"], True, ["start", "startup", "shutdown", "close"], [STARTED, CLOSE_FAILED]),
        (["startup"], True, ["start", "startup", "close"], ["lifespan.startup.failed no startup"]),
        (["startup", "close"], True, ["start", "startup", "close"], ["lifespan.startup.failed no startup"]),
        (
            ["shutdown"],
            True,
            ["start", "startup", "shutdown", "close"],
            [STARTED, "lifespan.shutdown.failed no shutdown"],
        ),
    ],
)
async def test_the_server_learns_of_a_failure_after_the_kit_is_closed(
    failing: list[str], steps: list[str], messages: list[str], *, has_inside: bool
) -> None:
    """Breaks when a failure to close is raised: a server that gets no message serves the application."""
    recorded = Recorded(*failing)
    with capture_logs() as logged:
        assert await run(recorded, recorded.inside() if has_inside else None) == messages
    assert recorded.steps == steps
    expected = [
        f"{'startup' if step == 'start' else 'shutdown'}_failed" for step in failing if step in {"start", "close"}
    ]
    assert [line["event"] for line in logged] == expected


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An application without a lifespan that returns at once."""


async def raising(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An application without a lifespan that asserts the type of the scope."""
    raise AssertionError("http only")


@pytest.mark.parametrize(("inside", "events"), [(silent, []), (raising, ["no_lifespan"])])
async def test_an_application_without_a_lifespan_is_served(inside: AsgiApp, events: list[str]) -> None:
    """As ASGI says. Breaks when the kit is not closed."""
    recorded = Recorded()
    with capture_logs() as logged:
        assert await run(recorded, inside) == COMPLETE
    assert recorded.steps == ["start", "close"]
    assert [line["event"] for line in logged] == events


def crashing(*, after_startup: bool) -> AsgiApp:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if after_startup:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        else:
            await send({"type": "lifespan.startup.failed", "message": "no"})
        raise ZeroDivisionError

    return app


@pytest.mark.parametrize("after_startup", [True, False])
@pytest.mark.parametrize("failing", [[], ["close"]])
async def test_the_kit_is_closed_once_when_the_application_inside_crashes(
    failing: list[str], *, after_startup: bool
) -> None:
    recorded = Recorded(*failing)
    with pytest.raises(ZeroDivisionError):
        await run(recorded, crashing(after_startup=after_startup))
    assert recorded.steps == ["start", "close"]
