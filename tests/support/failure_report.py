"""The report of a failed test: its last HTTP exchanges with their log lines, and the last output of its servers.

``-vv`` shows the whole output.
"""

import time
from collections import deque
from collections.abc import Collection, Generator
from contextlib import suppress
from functools import wraps
from typing import Any, Final
from weakref import WeakSet

import httpx
import pytest

from restwell.observability._log_output import output
from servers import Served

EXCHANGES: Final = 5
BODY_CHARS: Final = 500
EARLIER_BODY_CHARS: Final = 100
LOG_LINES: Final = 30
CLOCK_SECONDS: Final = 0.05
"""The modification time of a file may be this much earlier than the clock."""

Answer = httpx.Response | Exception
Wrapper = Generator[None, Any, Any]

_exchanges: deque[tuple[httpx.Request, Answer]] = deque(maxlen=EXCHANGES)
_servers: WeakSet[Served] = WeakSet()
_began = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Record the exchanges of every client, and every server."""
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    send, send_async, start = httpx.Client.send, httpx.AsyncClient.send, Served.__init__

    @wraps(send)
    def noting(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            response = send(client, request, **options)
        except Exception as error:
            _note(request, error)
            raise
        _note(request, response)
        return response

    @wraps(send_async)
    async def noting_async(client: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            response = await send_async(client, request, **options)
        except Exception as error:
            _note(request, error)
            raise
        _note(request, response)
        return response

    @wraps(start)
    def starting(served: Served, *arguments: Any, **options: Any) -> None:
        start(served, *arguments, **options)
        _servers.add(served)

    patch.setattr(httpx.Client, "send", noting)
    patch.setattr(httpx.AsyncClient, "send", noting_async)
    patch.setattr(Served, "__init__", starting)


def _note(request: httpx.Request, answer: Answer) -> None:
    """Of consecutive failed requests, as before a server is ready, only the last is shown."""
    if _exchanges and isinstance(answer, Exception):
        last, failed = _exchanges[-1]
        if isinstance(failed, Exception) and (last.method, last.url) == (request.method, request.url):
            _exchanges.pop()
    _exchanges.append((request, answer))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _exchanges.clear()
    item.stash[_began] = time.time() - CLOCK_SECONDS


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call() -> Wrapper:
    """Flush the log of the test while pytest still captures it."""
    try:
        return (yield)
    finally:
        output.flush(0.2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Wrapper:
    report: pytest.TestReport = yield
    if report.failed:
        written = list(report.sections)
        written += [
            (f"Output of the server {served.url}", text)
            for served in _servers
            if (text := _written_since(served, item.stash.get(_began, 0.0)))
        ]
        lines = [line for _, text in written for line in text.splitlines()]
        exchanges = [
            _told(*exchange, lines, EARLIER_BODY_CHARS if number else BODY_CHARS)
            for number, exchange in enumerate(reversed(_exchanges))
        ]
        shown = {line for exchange in exchanges for line in exchange}
        if item.config.get_verbosity() < 2:
            written = [(name, left) for name, text in written if (left := _end(text, shown))]
        http = "\n\n".join("\n".join(exchange) for exchange in reversed(exchanges))
        report.sections[:] = [("HTTP, the last exchange at the end", http), *written] if http else written
    return report


def _written_since(served: Served, began: float) -> str:
    with suppress(OSError):  # its folder may be gone
        if served._log.stat().st_mtime >= began:
            return served.output
    return ""


def _told(request: httpx.Request, answer: Answer, written: list[str], chars: int) -> list[str]:
    lines = [f"> {request.method} {request.url}", *_body(request, chars)]
    if isinstance(answer, Exception):
        return [*lines, f"< {answer!r}"]
    request_id = answer.headers.get("x-request-id")
    lines += [f"< {answer.status_code} {answer.reason_phrase}, request id {request_id}", *_body(answer, chars)]
    return [*lines, *(line for line in written if request_id and request_id in line)]


def _body(message: httpx.Request | httpx.Response, chars: int) -> list[str]:
    try:
        text = message.content.decode(errors="replace")
    except (httpx.RequestNotRead, httpx.ResponseNotRead):
        text = "(a stream)"
    return [f"  {text[:chars]}{'...' * (len(text) > chars)}"] if text else []


def _end(text: str, shown: Collection[str]) -> str:
    """The last lines, without those that are shown with their request."""
    lines = [line for line in text.splitlines() if line not in shown]
    left_out = len(lines) - LOG_LINES
    return "\n".join([f"({left_out} lines before: -vv)", *lines[-LOG_LINES:]] if left_out > 0 else lines)
