"""How an application declares its routes: ``@get``, ``@post``, ``Controller``, ``Feature`` and ``Version``."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, cast

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from restwell.database._explain import QuerySource
from restwell.edge._lifecycle import Lifecycle
from restwell.errors import AppError, ErrorFormat
from restwell.jobs import Job
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web._authentication import Authentication
from restwell.web._caching import Public
from restwell.web._checks import check
from restwell.web._request import Request
from restwell.web._token_endpoint import ClientCredentials
from restwell.web._webhooks import Webhook

H = TypeVar("H", bound=Callable[..., Awaitable[Any]])
Guard = Callable[[Request], Awaitable[None]]
"""Admits a request to a route, or raises an AppError. It runs before the body is read."""

_MARK: Final = "__restwell_route__"


class Declaration(Struct, frozen=True, kw_only=True):
    """The arguments of ``@get`` and the others."""

    method: str
    path: str
    guards: Sequence[Guard]
    raises: Sequence[type[AppError]]
    idempotent: bool
    cache: Public | None
    rate_limit: Rate | UnsetType | None
    timeout_seconds: float | None
    query_budget: Mapping[str, int]
    status_code: int | None
    other_responses: Mapping[int, str]
    media_type: str | None
    max_body_bytes: int | None
    tags: Sequence[str]
    include_in_schema: bool
    lifecycle: Lifecycle | None

    def __post_init__(self) -> None:
        check(f"{self.method} {self.path}", asdict(self))


class Method:
    """The decorator of an HTTP method."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(
        self,
        path: str = "",
        *,
        guards: Sequence[Guard] = (),
        raises: Sequence[type[AppError]] = (),
        idempotent: bool = False,
        cache: Public | None = None,
        rate_limit: Rate | UnsetType | None = UNSET,
        timeout_seconds: float | None = None,
        query_budget: Mapping[str, int] | None = None,
        status_code: int | None = None,
        other_responses: Mapping[int, str] | None = None,
        media_type: str | None = None,
        max_body_bytes: int | None = None,
        tags: Sequence[str] = (),
        include_in_schema: bool = True,
        lifecycle: Lifecycle | None = None,
    ) -> Callable[[H], H]:
        """Declare a route. The handler is an ``async`` function or method; its docstring is the OpenAPI text.

        The arguments of the handler follow from its parameters: path parameters by name, ``data`` (JSON body),
        ``filters`` (a Struct of query parameters), ``form``, ``upload``, ``actor: Actor``, ``request: Request``,
        ``if_match: IfMatch``, headers as ``Annotated[str | None, Header("X-Name")]``, and services by type. Other
        parameters are query parameters. ``actor: Actor | None`` makes sign-in optional on a route without guards that
        authenticate: it is None without credentials; wrong ones are a 401.

        ``raises``: the errors of the handler, for OpenAPI. ``idempotent``: clients send an Idempotency-Key, and a
        repeated request gets the stored response. ``cache``: the result of ``public``. ``rate_limit``: its own rate, or
        None for no limit. ``timeout_seconds``: instead of REQUEST_TIMEOUT_SECONDS. ``query_budget``: how often a
        request may run a query, by name. ``other_responses``: descriptions of further statuses. ``max_body_bytes``:
        instead of REQUEST_MAX_BYTES. ``lifecycle``: when the route is deprecated and ends, if before its version.
        """
        misused: object = path
        if inspect.isfunction(misused):
            raise TypeError(
                f"{misused.__qualname__} has a decorator without parentheses: write @{self._name.lower()}()"
            )
        declaration = Declaration(
            method=self._name,
            path=path,
            guards=guards,
            raises=raises,
            idempotent=idempotent,
            cache=cache,
            rate_limit=rate_limit,
            timeout_seconds=timeout_seconds,
            query_budget=query_budget or {},
            status_code=status_code,
            other_responses=other_responses or {},
            media_type=media_type,
            max_body_bytes=max_body_bytes,
            tags=tags,
            include_in_schema=include_in_schema,
            lifecycle=lifecycle,
        )

        def declare(handler: H) -> H:
            if not inspect.iscoroutinefunction(cast("object", handler)):
                name = getattr(handler, "__qualname__", handler)
                if inspect.isasyncgenfunction(handler):
                    raise TypeError(f"{name} is a generator: return a Stream, whose open= is the generator")
                raise TypeError(f"{name} is not async: use async def, and asyncio.to_thread for blocking calls")
            if declaration_of(handler) is not None:
                raise TypeError(f"{handler.__qualname__} has two routes: declare a function for each")
            vars(handler)[_MARK] = declaration
            return handler

        return declare


get: Final = Method("GET")
post: Final = Method("POST")
put: Final = Method("PUT")
patch: Final = Method("PATCH")
delete: Final = Method("DELETE")


def declaration_of(handler: object) -> Declaration | None:
    """The declaration of a handler; None for any other object."""
    declaration: Declaration | None = getattr(handler, _MARK, None)
    return declaration


class Controller:
    """The handlers of one resource below ``path``, with common ``tags`` and ``guards``.

    ``error_format``: the format of its error responses, if it differs from that of the application.
    """

    path: ClassVar[str] = ""
    tags: ClassVar[Sequence[str]] = ()
    guards: ClassVar[Sequence[Guard]] = ()
    error_format: ClassVar[ErrorFormat | None] = None

    def __init_subclass__(cls) -> None:
        for name in dict.fromkeys((*vars(cls), *inspect.get_annotations(cls))):
            if not name.startswith("_") and not callable(vars(cls).get(name)) and name not in _ATTRIBUTES:
                similar = get_close_matches(name, _ATTRIBUTES, n=1)
                hint = f"did you mean {similar[0]}?" if similar else "handlers take services as parameters, by type"
                raise TypeError(f"{cls.__name__}.{name} is not an attribute of a Controller: {hint}")
        check(cls.__name__, {name: vars(cls)[name] for name in _ATTRIBUTES if name in vars(cls)})
        super().__init_subclass__()


_ATTRIBUTES: Final = ("path", "tags", "guards", "error_format")
Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Feature:
    """A part of an application: what it serves, runs and stores.

    ``controllers`` may contain handlers. ``services`` are injected by type into handlers and jobs. ``jobs``: every job
    that it enqueues. ``queries``: modules whose named queries ``restwell explain`` checks, or these queries.
    ``migrations``: the folders of its own tables by package name; they run after those of the kit and before those of
    the application.

    One feature may give ``authenticate``, instead of ``kit.app``, and one ``client_credentials``: the token endpoint
    and the scopes of machine clients. The token path is below the prefix of the Version; ``/.well-known`` has that of
    the last one. ``session_cookies``: as in ``kit.app``.

    ``types`` are the concrete types of declared ones, in the parameters and results of all handlers of the application:
    ``{User: ShopUser}`` also makes ``Page[User]`` a ``Page[ShopUser]``. A function is called with services, by the
    types of its parameters, and returns the type. In OpenAPI the concrete type has the name of the declared one.

    ``enabled``: a function of the settings. With False the application is as if it did not have the feature.

    ``tag_descriptions``: what the tags of its controllers mean, for the OpenAPI document. The last one of a tag counts.

    ``webhooks``: what jobs of the application send to its users, for the OpenAPI document of the Version.

    A subclass may have options of its own: its ``__init__`` ends with ``super().__init__(controllers=..., ...)``.
    """

    controllers: "Sequence[type[Controller] | Handler]" = ()
    services: Sequence[object] = ()
    jobs: Sequence[Job[..., Any]] = ()
    queries: Sequence[QuerySource] = ()
    migrations: Mapping[str, Path] = field(default_factory=dict)
    authenticate: Authentication | None = None
    session_cookies: bool = False
    client_credentials: ClientCredentials | None = None
    types: Mapping[type, type | Callable[..., type]] = field(default_factory=dict)
    tag_descriptions: Mapping[str, str] = field(default_factory=dict)
    webhooks: Sequence[Webhook] = ()
    enabled: Callable[[Settings], bool] | None = None

    def __post_init__(self) -> None:
        check(type(self).__name__, {each.name: getattr(self, each.name) for each in fields(Feature)})


Part = Feature | type[Controller] | Handler


class Version(Struct, frozen=True):
    """A version of the API: its prefix, such as ``/v1``, its parts, and when it is deprecated and ends.

    Its schemas may differ from those of the handlers. Each function of ``requests`` converts what clients of this
    version send to what handlers take, and each of ``responses`` what handlers return to what these clients get. The
    types of its parameter and of its result say where: as ``data``, ``filters`` or ``form``; as the result, also in
    Response, Page and list. ``page`` replaces Page: a generic Struct, called with the items and the path of the next
    page, or None.
    """

    prefix: str
    parts: "Sequence[Part]"
    lifecycle: Lifecycle | None = None
    requests: Sequence[Callable[[Any], Any]] = ()
    responses: Sequence[Callable[[Any], Any]] = ()
    page: type[Struct] | None = None

    def __post_init__(self) -> None:
        check("Version", asdict(self))
