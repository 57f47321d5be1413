"""The request as guards and handlers see it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, Protocol, runtime_checkable
from uuid import UUID

from restwell.auth import Actor, ClientInfo
from restwell.edge._context import Receive, RequestContext, Scope
from restwell.errors import BodyTooLarge, MalformedRequest, UnsupportedMediaType
from restwell.web._cookies import cookies_in

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_MAX_AGENT: Final = 200


class Headers(Mapping[str, str]):
    """Header fields by name, in any case. Repeated fields are joined."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Request:
    """A request to a route. ``path_parameters`` are parsed; ``actor`` is set once a guard has authenticated."""

    __slots__ = ("_actor", "_body", "_max_body_bytes", "_receive", "auth", "context", "fields", "scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        context: RequestContext,
        *,
        max_body_bytes: int,
        auth: "AuthScheme | None" = None,
    ) -> None:
        self.scope = scope
        self.context = context
        self.auth = auth
        self._max_body_bytes = max_body_bytes
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._body: bytes | None = None
        self._actor: Actor | None = None

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    @property
    def query_string(self) -> bytes:
        query: bytes = self.scope["query_string"]
        return query

    @property
    def headers(self) -> Headers:
        return Headers(self.fields)

    @property
    def path_parameters(self) -> Mapping[str, Any]:
        return self.context.path_parameters

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        return cookies_in(self.headers.get("cookie", ""))

    @property
    def client_address(self) -> str:
        """The IP address of the client, empty if it is unknown."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def request_id(self) -> str:
        return self.context.request_id

    @property
    def actor(self) -> Actor:
        """The caller. Raises RuntimeError if no guard of the route authenticates."""
        if self._actor is None:
            raise RuntimeError("no guard has authenticated this request: add guards=[signed_in] to the route")
        return self._actor

    @actor.setter
    def actor(self, actor: Actor) -> None:
        self._actor = actor
        self.context.user_id = actor.id
        self.context.caller = actor

    @property
    def user_id(self) -> UUID | None:
        """The id of the caller, if the request is authenticated."""
        return self._actor.id if self._actor is not None else None

    async def body(self) -> bytes:
        """The whole body. Raises BodyTooLarge, and UnsupportedMediaType for a compressed body."""
        if self._body is None:
            self._body = b"".join([chunk async for chunk in self.stream()])
        return self._body

    async def stream(self) -> AsyncIterator[bytes]:
        """The chunks of the body. Raises like ``body``."""
        if self.fields.get(b"content-encoding", b"identity").strip(b" \t").lower() != b"identity":
            # A small compressed body can have any size decompressed. RFC 9110 15.5.16: name what is accepted.
            raise UnsupportedMediaType("Send the body without compression.", headers={"accept-encoding": "identity"})
        limit = self._max_body_bytes
        length = self.fields.get(b"content-length", b"0")
        if not length.isdigit():
            raise MalformedRequest("Content-Length must be a number.")
        if len(length) > _MAX_LENGTH_DIGITS or int(length) > limit:
            raise BodyTooLarge
        received, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise MalformedRequest("The request body could not be read completely.")
            chunk: bytes = message.get("body", b"")
            received += len(chunk)
            if received > limit:
                raise BodyTooLarge
            if chunk:
                yield chunk
            more = message.get("more_body", False)


@runtime_checkable
class AuthScheme(Protocol):
    """Authenticates requests.

    ``challenge``: the name of the scheme in WWW-Authenticate. ``security``: the security schemes of OpenAPI by name,
    each of which suffices. ``uses_cookies``: whether a cookie authenticates, so that ``authenticate`` must call
    ``reject_cross_site``.
    """

    @property
    def challenge(self) -> str: ...

    @property
    def security(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def uses_cookies(self) -> bool: ...

    async def authenticate(self, request: Request) -> Actor:
        """The actor of the request. Raises Unauthorized, and MissingCredentials if the request has none."""


_MAX_LENGTH_DIGITS: Final = 15


def body_media_type(method: str) -> str:
    """The required content type of JSON bodies of this method."""
    return MERGE_PATCH if method == "PATCH" else JSON


def client_info(request: Request) -> ClientInfo:
    """The user agent, the IP address and the preferred languages of the client."""
    agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))
    return ClientInfo(agent[:_MAX_AGENT], request.client_address, request.headers.get("accept-language", ""))
