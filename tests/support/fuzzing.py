"""Fuzzing in process: every input gets a response, and none blocks the event loop. Every run has the same inputs.

::

    @pytest.mark.scoreboard("T1", "JSON bodies", MARK, backend="SQLite")
    def test_no_json_body_causes_a_5xx(server: InProcess, score: Score) -> None:
        fuzz(score, st.binary(), lambda body: server.send("POST", "/v1/users", body=body))

``make test`` tries few inputs. ``make scoreboard`` tries so many that each test takes a minute or less.
"""

import asyncio
import time
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy

from restwell import App
from restwell.edge._context import Message
from restwell.testing import running
from scoreboard import Score

MARK: Final = "0 x 5xx, 0 blocks over 50 ms, memory flat"
SMALL: Final = 100
FULL: Final = 20_000
BLOCK_SECONDS: Final = 0.05
REFERENCE_SECONDS: Final = 0.010
"""The time of ``_fixed_work`` on the machine of the scoreboard."""
TIMEOUT_SECONDS: Final = 15
"""Longer than the deadline of any request."""
INPUTS_PER_SEED: Final = 1_000
"""Hypothesis stores the inputs of a run: several short runs keep its memory out of the measurement."""
MAX_GROWTH_MB: Final = 50

T = TypeVar("T")


@cache
def block_seconds() -> float:
    """The limit of CPU time per input: 50 ms, scaled by the speed of the machine."""
    return BLOCK_SECONDS * max(1.0, min(_fixed_work() for _ in range(5)) / REFERENCE_SECONDS)


def _fixed_work() -> float:
    """The CPU time of typical parser work: small objects, strings, a growing dict."""
    start = time.thread_time()
    found = {}
    for number in range(20_000):
        found[f"{number}"] = str(number).encode()[:3].split(b"1")
    return time.thread_time() - start


def fuzz(
    score: Score,
    inputs: SearchStrategy[T],
    attempt: Callable[[T], "Response | str"],
    *,
    small: int = SMALL,
    full: int | None = None,
) -> None:
    """Call ``attempt`` with every input and record the score.

    ``attempt`` returns the response of the application, which is checked, or the name of an outcome that it checked.
    """
    outcomes: Counter[str] = Counter()
    slowest = 0.0

    def measure(value: T) -> float:
        """Return the CPU time of the thread: other work on the machine does not count."""
        start = time.thread_time()
        outcome = attempt(value)
        elapsed = time.thread_time() - start
        outcomes[checked_status(outcome) if isinstance(outcome, Response) else outcome] += 1
        return outcome.seconds if isinstance(outcome, Response) else elapsed

    def run_once(value: T) -> None:
        nonlocal slowest
        took = measure(value)
        if took > block_seconds():
            took = min(took, *(measure(value) for _ in range(3)))  # a slow input is slow again
        slowest = max(slowest, took)
        assert took <= block_seconds(), f"{took:.3f} s"

    count = score.size(small, full or FULL)
    before = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)  # the input of a failure may be long
        for number in range(0, count, INPUTS_PER_SEED):
            options = settings(
                max_examples=min(INPUTS_PER_SEED, count - number),
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            seed(number)(options(given(inputs)(run_once)))()
            before = before or _memory_mb()
    grown = _memory_mb() - (before or 0)
    summary = ", ".join(f"{count} x {outcome}" for outcome, count in outcomes.most_common(5))
    score.note(f"{outcomes.total()} inputs ({summary}), slowest {slowest * 1e3:.0f} ms, memory {grown:+.0f} MB")
    assert grown <= MAX_GROWTH_MB


def _memory_mb() -> float:
    """The resident memory of the process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1_024


class Response(NamedTuple):
    """``seconds`` is the CPU time of the event loop's thread."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    seconds: float


class InProcess:
    """A started application. A synchronous test sends any bytes to it, without normalization."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self._loop = loop

    def send(
        self,
        method: str,
        target: str | bytes,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        root_path: str = "",
        *,
        chunk_size: int = 0,
    ) -> Response:
        """Call the application as the server would, with the body in chunks of ``chunk_size`` bytes, or in one.

        Raises UnicodeDecodeError for a path that the server itself rejects.
        """
        raw_target = target.encode() if isinstance(target, str) else target
        chunks = [body[i : i + chunk_size] for i in range(0, len(body), chunk_size)] if chunk_size and body else [body]
        return self.run(self._send(method, raw_target, headers, chunks, root_path))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_SECONDS)

    async def _send(
        self,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        chunks: Sequence[bytes],
        root_path: str,
    ) -> Response:
        raw_path, _, query = target.partition(b"?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(raw_path).decode(),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": root_path,
            "headers": [
                (b"host", b"app.test"),
                (b"content-length", b"%d" % sum(map(len, chunks))),
                *headers,
            ],
            "client": ("127.0.0.1", 1),
            "server": ("app.test", 80),
            "state": {},
        }
        response_complete = asyncio.Event()
        sent: list[Message] = []
        remaining = list(chunks)

        async def receive() -> Message:
            if remaining:
                return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining)}
            await response_complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                response_complete.set()

        start = time.thread_time()
        try:
            await self.app(scope, receive, send)
        finally:
            response_complete.set()
        seconds = time.thread_time() - start
        first = sent[0]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Response(first["status"], dict(first["headers"]), content, seconds)


@contextmanager
def in_process(app: App) -> Iterator[InProcess]:
    """Start the app on an event loop in a new thread."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="app", daemon=True)
    thread.start()
    server = InProcess(app, loop)
    started = running(app)
    try:
        server.run(started.__aenter__())
        try:
            yield server
        finally:
            server.run(started.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def checked_status(response: Response) -> str:
    """Check that the response is no 5xx, and a problem if it is a 4xx. Returns the status."""
    assert response.status < 500, (response.status, response.body)
    if response.status >= 400:
        assert response.headers[b"content-type"] == b"application/problem+json", response.headers
        problem = msgspec.json.decode(response.body)
        assert problem["status"] == response.status
        assert problem["request_id"].encode() == response.headers[b"x-request-id"]
    return str(response.status)
