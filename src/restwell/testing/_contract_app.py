"""Runs an application in a thread for the contract tests, and keeps its caller signed in."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Final, TypeVar

import apsw

from restwell._application import App
from restwell._database_url import sqlite_path
from restwell._extras import needs_extra
from restwell.edge._context import Message, Receive, Scope, Send
from restwell.testing._api_client import ApiClient
from restwell.testing._running import running

with needs_extra("contract", "restwell.testing.contract_tests"):
    import httpx

CallerFunction = Callable[[ApiClient], Awaitable[object]]

START_SECONDS: Final = 60
BUSY_MILLISECONDS: Final = 30_000

T = TypeVar("T")


class ContractApp:
    """The ASGI application that Schemathesis calls, from another thread.

    ``headers`` are the credentials of the caller when the run starts. If its session has ended, as after a sign-out, it
    is signed in again, and the request is repeated. If the sign-in fails, as after a change of the password, the
    database is restored first.
    """

    def __init__(
        self, app: App, client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop, copy: "DatabaseCopy"
    ) -> None:
        self._app = app
        self._client = client
        self._loop = loop
        self._copy = copy
        self._sign_in: CallerFunction | None = None
        self.headers: dict[str, str] = {}
        self._current: dict[str, str] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start_as(self, sign_in: CallerFunction | None) -> None:
        """Restore the database, and sign in."""
        self._sign_in = sign_in
        self.headers = {}
        self.run(self._restore())
        if sign_in is not None:
            self.headers = self._current = self.run(self._credentials(sign_in))

    def travel(self, journey: CallerFunction) -> list[httpx.Response]:
        """Run the journey with a client that is not signed in. Returns the responses."""
        responses: list[httpx.Response] = []

        async def record(response: httpx.Response) -> None:
            await response.request.aread()
            await response.aread()
            responses.append(response)

        async def run() -> None:
            hooks = self._client.event_hooks
            self._client.event_hooks = {"response": [record]}
            try:
                await journey(ApiClient(self._client))
            finally:
                self._client.event_hooks = hooks

        self.run(run())
        return responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("the application is started already")
        body = await _read(receive)
        answer = self._answer(scope, body)
        messages = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer, self._loop))
        for message in messages:
            await send(message)

    async def _answer(self, scope: Scope, body: bytes) -> list[Message]:
        messages = await self._call(scope, body)
        if messages[0]["status"] == 401 and self._sign_in is not None and self._is_signed(scope):
            self._current = await self._renewed_credentials(self._sign_in)
            messages = await self._call(scope, body)
        return messages

    def _is_signed(self, scope: Scope) -> bool:
        sent = dict(scope["headers"])
        return all(sent.get(name.lower().encode()) == value.encode() for name, value in self.headers.items())

    async def _call(self, scope: Scope, body: bytes) -> list[Message]:
        headers = list(scope["headers"])
        if self._is_signed(scope):
            own = {name.lower().encode(): value.encode() for name, value in self._current.items()}
            headers = [(name, own.get(name, value)) for name, value in headers]
        messages: list[Message] = []
        pending = [{"type": "http.request", "body": body}]

        async def receive() -> Message:
            if pending:
                return pending.pop()
            await asyncio.Future()  # as long as the client is connected
            raise AssertionError

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app({**scope, "headers": headers, "state": {}}, receive, send)
        return messages

    async def _renewed_credentials(self, sign_in: CallerFunction) -> dict[str, str]:
        try:
            return await self._credentials(sign_in)
        except AssertionError:
            await self._restore()
            return await self._credentials(sign_in)

    async def _credentials(self, sign_in: CallerFunction) -> dict[str, str]:
        caller = ApiClient(self._client)
        await sign_in(caller)
        headers = dict(caller.headers)
        if access_token := caller.tokens.get("access_token"):
            headers["Authorization"] = f"Bearer {access_token}"
        if caller.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in caller.cookies.items())
        return headers

    async def _restore(self) -> None:
        await asyncio.to_thread(self._copy.restore)
        await self._app.kit.cache.invalidate_now()


class DatabaseCopy:
    """The content of a SQLite database at the start. Other databases are not restored."""

    def __init__(self, url: str, folder: Path) -> None:
        self._database = sqlite_path(url) if url.startswith("sqlite:") else None
        self._copy = folder / "copy.db"
        if self._database is not None:
            _copy(self._database, self._copy)

    def restore(self) -> None:
        if self._database is not None:
            _copy(self._copy, self._database)


@contextmanager
def contract_app(app: App) -> Iterator[ContractApp]:
    """Start the app on an event loop in a new thread. The database is restored at the end."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="app", daemon=True)
    thread.start()
    try:
        with TemporaryDirectory() as folder:
            copy = DatabaseCopy(app.kit.settings.database.url.get_secret_value(), Path(folder))
            started = running(app)
            client = asyncio.run_coroutine_threadsafe(started.__aenter__(), loop).result(START_SECONDS)
            try:
                yield ContractApp(app, client, loop, copy)
            finally:
                asyncio.run_coroutine_threadsafe(started.__aexit__(None, None, None), loop).result(START_SECONDS)
                copy.restore()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _read(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _copy(source: Path, target: Path) -> None:
    """With apsw: a second SQLite library in the process would release the locks of the first."""
    with closing(apsw.Connection(str(source))) as read, closing(apsw.Connection(str(target))) as write:
        write.set_busy_timeout(BUSY_MILLISECONDS)
        with write.backup("main", read, "main") as backup:
            backup.step()
