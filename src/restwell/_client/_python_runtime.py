"""The part of a Python client that is the same for each API. Needs httpx and msgspec, and nothing of restwell."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import uuid4

import httpx
import msgspec

T = TypeVar("T")
Decode = Callable[[httpx.Response], Any]

_BACKOFF_SECONDS = 0.2
_CONNECT_SECONDS = 10.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_MAYBE_NOT_DONE = {502, 503, 504}
"""A request with one of these may have been done, so only a request that can be repeated safely is repeated."""


class OpenEnum(StrEnum):
    """An enum that has a member for each text: a newer API may have more values than this client knows."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


class Tagged(msgspec.Struct, Generic[T], frozen=True):
    """A value with the entity tag of its version. Methods with ``if_match`` take it, and fail if it is outdated."""

    value: T
    etag: str


class Tokens(msgspec.Struct, frozen=True):
    """What a user is signed in with. Each refresh token is valid once: store the new one (``on_tokens``)."""

    access_token: str
    refresh_token: str | None = None


class FieldError(msgspec.Struct, frozen=True):
    """An invalid field of a request. ``path`` is a JSONPath or the name of a parameter."""

    path: str = ""
    message: str = ""


class ClientError(Exception):
    """A call failed. Each error of the client is one of its subclasses."""


class ConnectionFailed(ClientError):
    """No response arrived. ``may_have_been_done``: whether the API may have got the request, and done it."""

    def __init__(self, reason: str, *, may_have_been_done: bool) -> None:
        done = "the request may have been done" if may_have_been_done else "the request was not sent"
        super().__init__(f"{reason or 'no response'}; {done}")
        self.may_have_been_done = may_have_been_done


class UnexpectedResponse(ClientError):
    """The response is not one that this client knows. The request may have been done."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status


class ApiError(ClientError):
    """The API refused the request. Each code has a subclass; one that this client does not know is of this class.

    ``retry_after_seconds`` is that of ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        request_id: str | None,
        errors: list[FieldError],
        retry_after_seconds: float | None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


class ApiClient:
    """Sends the requests. One object serves many concurrent calls of one caller; ``async with`` closes it.

    - ``token`` is a fixed access token or API key. ``tokens`` are those of a user who signed in earlier; a method that
      signs in sets them, too. ``client_id`` and ``client_secret`` are those of a machine client. Expired access tokens
      are renewed, once for all concurrent calls, and ``on_tokens`` is told the new ones.
    - A request that can be repeated safely (GET, PUT, or with an idempotency key) is repeated after a lost connection
      and after 502, 503 and 504; every request is after 429, and if it was not sent. ``Retry-After`` is waited for. All
      attempts of a call have the same idempotency key. They end after ``max_attempts`` and ``max_seconds``.
    - ``timeout_seconds`` is for one attempt.
    """

    _refresh_path: ClassVar[str | None] = None
    _token_path: ClassVar[str | None] = None
    _scheme: ClassVar[str] = "Bearer"
    _code_property: ClassVar[str] = "code"
    _errors: ClassVar[Mapping[str, type[ApiError]]] = {}

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens], object] | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        timeout_seconds: float = 30,
        max_attempts: int = 4,
        max_seconds: float = 60,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._tokens = tokens or (Tokens(token) if token is not None else None)
        self._on_tokens = on_tokens
        self._client_id, self._client_secret = client_id, client_secret
        self._timeout_seconds, self._max_attempts, self._max_seconds = timeout_seconds, max_attempts, max_seconds
        self._renewal: asyncio.Task[None] | None = None
        timeout = httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_SECONDS))
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        returns: Mapping[int, Decode],
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        form: object = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        authenticated: bool = False,
        idempotency_key: str | None = None,
        if_match: str | Tagged[Any] | None = None,
        signs_in: bool = False,
        repeatable: bool = False,
    ) -> Any:
        fields = {name: _text(value) for name, value in (headers or {}).items() if value is not None}
        if idempotency_key is not None:
            fields["Idempotency-Key"] = idempotency_key
        if if_match is not None:
            fields["If-Match"] = if_match.etag if isinstance(if_match, Tagged) else if_match
        if form is not None:
            content = urlencode(_parameters(msgspec.to_builtins(form))).encode()
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        request = self._http.build_request(
            method,
            path,
            params=httpx.QueryParams(_parameters(query)) if query else None,
            headers=fields,
            content=content,
            files=files,
        )
        safe = repeatable or idempotency_key is not None or (method in {"GET", "PUT"} and if_match is None)
        response = await self._authorized(request, safe) if authenticated else await self._attempts(request, safe)
        result = _decoded(response, returns)
        if signs_in and (access := getattr(result, "access_token", None)) is not None:
            self._keep(Tokens(access, getattr(result, "refresh_token", None)))
        return result

    async def _authorized(self, request: httpx.Request, safe: bool) -> httpx.Response:  # noqa: FBT001
        """Send the request with an access token, and once more with a new one if the API does not accept it."""
        if self._tokens is None:
            await self._renew(None)
        used = self._authorize(request)
        try:
            return await self._attempts(request, safe)
        except ApiError as error:
            if error.status != httpx.codes.UNAUTHORIZED or not await self._renew(used):
                raise
        self._authorize(request)
        return await self._attempts(request, safe)

    def _authorize(self, request: httpx.Request) -> Tokens | None:
        if self._tokens is not None:
            request.headers["Authorization"] = f"{self._scheme} {self._tokens.access_token}"
        return self._tokens

    async def _renew(self, used: Tokens | None) -> bool:
        """Have other tokens than ``used``. Concurrent calls share one request, which no cancelled call ends."""
        if self._tokens is not used:
            return True
        if not (self._client_id or (used and used.refresh_token and self._refresh_path)):
            return False
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._exchange(used))
            self._renewal.add_done_callback(self._renewed)
        await asyncio.shield(self._renewal)
        return True

    def _renewed(self, task: asyncio.Task[None]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # each caller that waits for it raises it

    async def _exchange(self, used: Tokens | None) -> None:
        returns = dict.fromkeys((200, 201), json_of(Tokens))
        if used is not None and used.refresh_token is not None and self._refresh_path is not None:
            body, fields = msgspec.json.encode({"refresh_token": used.refresh_token}), {"Content-Type": JSON}
            try:
                # Safe to repeat: the token would be lost otherwise, with the response.
                tokens = await self._send(
                    "POST", self._refresh_path, returns=returns, content=body, headers=fields, repeatable=True
                )
            except ApiError:
                self._tokens = None
                raise
        else:
            grant = {"grant_type": "client_credentials", "client_id": self._client_id}
            form = {**grant, "client_secret": self._client_secret}
            path = self._token_path or ""
            tokens = await self._send("POST", path, returns=returns, form=form, repeatable=True)
        self._keep(tokens)

    def _keep(self, tokens: Tokens) -> None:
        self._tokens = tokens
        if self._on_tokens is not None:
            self._on_tokens(tokens)

    async def _attempts(self, request: httpx.Request, safe: bool) -> httpx.Response:  # noqa: FBT001
        """The response, which is no error. Raises ApiError or ConnectionFailed after the last attempt."""
        ends_at = time.monotonic() + self._max_seconds
        may_have_been_done = False
        for attempt in range(1, self._max_attempts + 1):
            wait = _BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
            failure: ClientError
            try:
                async with asyncio.timeout(min(self._timeout_seconds, ends_at - time.monotonic())):
                    response = await self._http.send(request)
            except (httpx.RequestError, TimeoutError) as error:
                sent = not isinstance(error, _NOT_SENT)
                may_have_been_done |= sent
                retry = safe or not sent
                reason = str(error) or type(error).__name__
                failure = ConnectionFailed(reason, may_have_been_done=may_have_been_done)
            else:
                if response.status_code < httpx.codes.BAD_REQUEST:
                    return response
                failure = self._error(response)
                wait = max(wait, failure.retry_after_seconds or 0)
                retry = failure.status == httpx.codes.TOO_MANY_REQUESTS or (
                    safe and (failure.status in _MAYBE_NOT_DONE or failure.code == "idempotency_key_in_flight")
                )
            if not retry or attempt == self._max_attempts or time.monotonic() + wait >= ends_at:
                raise failure
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _error(self, response: httpx.Response) -> ApiError:
        try:
            body = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            body = None
        problem: dict[str, Any] = body if isinstance(body, dict) else {}
        code = str(problem.get(self._code_property) or problem.get("error") or "")
        detail = problem.get("detail") or problem.get("error_description") or response.reason_phrase
        try:
            errors = msgspec.convert(problem.get("errors", []), list[FieldError])
        except msgspec.ValidationError:
            errors = []
        request_id = problem.get("request_id") or response.headers.get("x-request-id")
        kind = self._errors.get(code, ApiError)
        return kind(response.status_code, code, str(detail), request_id, errors, _retry_after(response))


JSON = "application/json"


def new_key() -> str:
    """An idempotency key."""
    return str(uuid4())


def segment(value: object) -> str:
    """The value as a part of a path."""
    text = _text(value)
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} cannot be a part of a path")
    return quote(text, safe="")


def next_value(path: str | None, parameter: str) -> str | None:
    """The value of a query parameter in the path of the next page. None without a next page."""
    found = parse_qs(urlsplit(path or "").query).get(parameter)
    return found[0] if found else None


def json_of(*kinds: Any) -> Decode:
    """Decodes a body as the first type that it fits."""

    def decode(response: httpx.Response) -> Any:
        for kind in kinds[:-1]:
            try:
                return msgspec.json.decode(response.content, type=kind)
            except msgspec.ValidationError:
                pass
        return msgspec.json.decode(response.content, type=kinds[-1])

    return decode


def tagged(decode: Decode) -> Decode:
    """Decodes a body with its entity tag."""
    return lambda response: Tagged(decode(response), response.headers["etag"])


def text(response: httpx.Response) -> str:
    return response.text


def content(response: httpx.Response) -> bytes:
    return response.content


def location(response: httpx.Response) -> str:
    return str(response.headers["location"])


def nothing(_: httpx.Response) -> None:
    return None


def _decoded(response: httpx.Response, returns: Mapping[int, Decode]) -> Any:
    status = response.status_code
    if status not in returns:
        raise UnexpectedResponse(status, "a status that this client does not know")
    try:
        return returns[status](response)
    except msgspec.DecodeError as error:
        raise UnexpectedResponse(status, str(error)) from error
    except KeyError as error:
        raise UnexpectedResponse(status, f"without the header {error}") from error


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, or a date (RFC 9110 10.2.3)."""
    value = response.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _parameters(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, _text(one))
        for name, value in values.items()
        if value is not None
        for one in (value if isinstance(value, list | tuple) else [value])
    )


def _text(value: object) -> str:
    plain = msgspec.to_builtins(value)
    return ("false", "true")[plain] if isinstance(plain, bool) else str(plain)
