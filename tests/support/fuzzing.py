"""Fuzzing: any input in, an answer out, and no block of the event loop. The same inputs in each run (Hypothesis, with fixed seeds).

::

    @pytest.mark.scoreboard("T1", "JSON bodies", MARK, backend="SQLite")
    def test_no_json_body_causes_a_5xx(server: InProcess, score: Score) -> None:
        fuzz(score, st.binary(), lambda body: server.send("POST", "/v1/users", body=body))

``make test`` tries few inputs, ``make scoreboard`` so many that each boundary takes a minute or less.
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
from restwell.edge.context import Message
from restwell.testing import running
from scoreboard import Score

MARK: Final = "0 x 5xx, 0 blocks over 50 ms, memory flat"
SMALL: Final = 100
FULL: Final = 20_000
BLOCK_SECONDS: Final = 0.05
REFERENCE_SECONDS: Final = 0.010
"""What ``_fixed_work`` takes on the machine of the scoreboard."""
PATIENCE_SECONDS: Final = 15
"""Longer than any request may take."""
ROUND: Final = 1_000
"""Inputs with one seed. Hypothesis remembers all of them until its end, which is not the application's memory."""
GROWTH_MB: Final = 50

T = TypeVar("T")


@cache
def block_seconds() -> float:
    """What nothing may take: 50 ms, and on a slower machine as much more as the same work takes there."""
    return BLOCK_SECONDS * max(1.0, min(_fixed_work() for _ in range(5)) / REFERENCE_SECONDS)


def _fixed_work() -> float:
    """The processor time of what parsers do: small objects, texts, a growing dict."""
    start = time.thread_time()
    found = {}
    for number in range(20_000):
        found[f"{number}"] = str(number).encode()[:3].split(b"1")
    return time.thread_time() - start


def fuzz(
    score: Score,
    inputs: SearchStrategy[T],
    attempt: Callable[[T], "Reply | str"],
    *,
    small: int = SMALL,
    full: int | None = None,
) -> None:
    """Give every input to ``attempt``: it returns the application's reply, or asserts for itself what must hold and says in a word what
    came of it. Notes the figures.
    """
    outcomes: Counter[str] = Counter()
    slowest = 0.0

    def seconds(one: T) -> float:
        """Of the processor, in the one thread that did it: what others do meanwhile does not count."""
        start = time.thread_time()
        came = attempt(one)
        own = time.thread_time() - start
        outcomes[answered(came) if isinstance(came, Reply) else came] += 1
        return came.seconds if isinstance(came, Reply) else own

    def each(one: T) -> None:
        nonlocal slowest
        took = seconds(one)
        if took > block_seconds():
            took = min(took, *(seconds(one) for _ in range(3)))  # what is slow is slow again
        slowest = max(slowest, took)
        assert took <= block_seconds(), f"{took:.3f} s"

    count = score.size(small, full or FULL)
    before = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)  # that the input of a failure is long
        for number in range(0, count, ROUND):
            options = settings(
                max_examples=min(ROUND, count - number),
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            seed(number)(options(given(inputs)(each)))()
            before = before or _memory_mb()
    grown = _memory_mb() - (before or 0)
    told = ", ".join(f"{count} x {outcome}" for outcome, count in outcomes.most_common(5))
    score.note(f"{outcomes.total()} inputs ({told}), slowest {slowest * 1e3:.0f} ms, memory {grown:+.0f} MB")
    assert grown <= GROWTH_MB


def _memory_mb() -> float:
    """What the process holds now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1_024


class Reply(NamedTuple):
    """``seconds`` is the processor time of the event loop's thread."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    seconds: float


class InProcess:
    """A started application, to which a test that is not asynchronous can send any bytes: nothing between them is normalised."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def send(
        self,
        method: str,
        target: str | bytes,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        root_path: str = "",
        *,
        piece: int = 0,
    ) -> Reply:
        """Send a request as a server would that has read it, its body in pieces of so many bytes. Raises UnicodeDecodeError for a path
        that the server refuses itself.
        """
        asked = target.encode() if isinstance(target, str) else target
        pieces = [body[at : at + piece] for at in range(0, len(body), piece)] if piece and body else [body]
        return self.run(self._send(method, asked, headers, pieces, root_path))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _send(
        self,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        pieces: Sequence[bytes],
        root_path: str,
    ) -> Reply:
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
                (b"content-length", b"%d" % sum(map(len, pieces))),
                *headers,
            ],
            "client": ("127.0.0.1", 1),
            "server": ("app.test", 80),
            "state": {},
        }
        answered = asyncio.Event()
        sent: list[Message] = []
        waiting = list(pieces)

        async def receive() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered.set()

        start = time.thread_time()
        try:
            await self._app(scope, receive, send)
        finally:
            answered.set()
        seconds = time.thread_time() - start
        first = sent[0]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(first["status"], dict(first["headers"]), content, seconds)


@contextmanager
def in_process(app: App) -> Iterator[InProcess]:
    """Start the app on an event loop of its own, in a thread."""
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


def answered(reply: Reply) -> str:
    """The outcome of a request that may have been anything: answered, or refused with a problem, without a block."""
    assert reply.status < 500, (reply.status, reply.body)
    if reply.status >= 400:
        assert reply.headers[b"content-type"] == b"application/problem+json", reply.headers
        problem = msgspec.json.decode(reply.body)
        assert problem["status"] == reply.status
        assert problem["request_id"].encode() == reply.headers[b"x-request-id"]
    return str(reply.status)
