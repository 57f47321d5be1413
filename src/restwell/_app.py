"""The composition root: builds the kit from the settings, and the ASGI application from features."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from restwell._application import App
from restwell._edge import build_edge
from restwell._host import Host
from restwell._optional_parts import OptionalParts
from restwell._services import Services, type_name
from restwell.asgi import Route as WrappedRoute
from restwell.asgi import compile_route, with_sent_method
from restwell.auth import RefreshTokens
from restwell.auth._key_derivation import KeyDeriver, development_secret
from restwell.cache import Cache
from restwell.cache._local import LocalStore, default_runtime_dir
from restwell.cache._peers import Peers
from restwell.cache._store import Store
from restwell.cache._suspension import CacheSuspension
from restwell.database import Database, Migrations, open_database
from restwell.database._consistency import ConsistencyTokens
from restwell.database._metrics import DatabaseCollector
from restwell.edge._context import SCOPE_KEY, AsgiApp, RequestContext, Scope
from restwell.edge._rate_limit import RateLimit, with_rates
from restwell.edge._route import Route
from restwell.edge._router import Router
from restwell.errors import PROBLEMS, ErrorFormat
from restwell.files import Files
from restwell.jobs import Jobs, Worker, WorkerOptions
from restwell.jobs._notifier import open_notifier
from restwell.jobs._rows import ClaimedJob
from restwell.observability._log_output import DroppedLinesCollector, output
from restwell.observability._logs import json_log_writer
from restwell.observability._metrics import Metrics
from restwell.observability._watchdog import Watchdog
from restwell.rate_limits._limiter import RateLimiter, RateLimitStore
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.settings import Settings
from restwell.web import AuthScheme, ClientCredentials, Cursors, TokenScheme, Version
from restwell.web._authentication import Authenticate
from restwell.web._declarations import Feature, Part
from restwell.web._dispatch import Dispatcher
from restwell.web._docs import docs_routes
from restwell.web._endpoint import Defaults, compile_endpoints, features_of
from restwell.web._health import HEALTH_PATHS, health_routes
from restwell.web._openapi import openapi_document
from restwell.web._openapi_schemas import Schema
from restwell.web._well_known import security_txt, well_known_routes

DEVELOPMENT_SECRET: Final = Path("var/development-secret")


class Restwell(OptionalParts):
    """The kit: built once from the settings and passed to constructors. Opens no connection before ``start``."""

    def __init__(self, settings: Settings | None = None, *, name: str = "app") -> None:
        if settings is None:
            settings = Settings.load(os.environ, env_file=Path(".env"), secrets_dir=Path("/run/secrets"))
        jwt = settings.jwt
        secret = jwt.secret.get_secret_value() if jwt.secret else development_secret(DEVELOPMENT_SECRET)
        secrets = [secret, *(previous.get_secret_value() for previous in jwt.previous_secrets)]
        super().__init__(settings, name, secrets)
        keys = KeyDeriver(secret)
        url = settings.database.url.get_secret_value()
        seconds = settings.request.timeout_seconds
        self._peers = open_peers(settings, name)
        self.database = open_database(
            url,
            settings.database.pool_size,
            seconds,
            [replica.get_secret_value() for replica in settings.database.replica_urls],
            self._peers.session_start,
        )
        # The readiness check has a separate connection: otherwise an exhausted pool looks like a database that is down,
        # and the load balancer removes one overloaded node after the other. The count of peers uses it too.
        self._health_database = (
            open_database(url, 1, seconds) if self.database.dialect == "postgresql" else self.database
        )
        self.metrics = Metrics(settings.metrics.dir)
        self.watchdog = Watchdog()
        self.metrics.registry.register(self.watchdog)
        self.metrics.registry.register(DroppedLinesCollector())
        self.metrics.registry.register(DatabaseCollector(self.database))
        self.cache = Cache(
            self._open_cache_store(),
            max_bytes=settings.cache_bytes,
            load_timeout_seconds=seconds,
            enabled=settings.cache != "off",
        )
        self.metrics.registry.register(self.cache.metrics)
        self.rate_limiter = self._open_rate_limiter()
        self._rate_limit = None
        if self.rate_limiter is not None:
            self.metrics.registry.register(self.rate_limiter)
            self._rate_limit = RateLimit(self.rate_limiter, settings.trusted_hops)
        broker = settings.jobs.url
        self.jobs = Jobs(
            self.database,
            open_notifier(self.database, url, broker.get_secret_value() if broker is not None else None, name),
        )
        self.metrics.registry.register(self.jobs.metrics)
        self.files = Files(settings.files.dir)
        self.refresh_tokens = RefreshTokens(keys.derive("refresh-token"))
        self.cursors = Cursors(keys.derive("cursor"))
        self._write_log = json_log_writer(settings.log)
        parts = {
            Restwell: self,
            Settings: settings,
            type(settings): settings,
            Database: self.database,
            Cache: self.cache,
            Jobs: self.jobs,
            Cursors: self.cursors,
            Files: self.files,
            RefreshTokens: self.refresh_tokens,
        }
        self._parts = {type_name(kind): partial(_same, part) for kind, part in parts.items()} | self._optional_parts()
        self._consistency_tokens = ConsistencyTokens(keys.derive("consistency"))

    def _open_cache_store(self) -> Store:
        """Redis if configured, otherwise memory shared by the processes of this machine."""
        settings = self.settings
        if settings.redis.url is not None:
            from restwell.cache._redis import RedisStore  # noqa: PLC0415  # loaded only if used

            strict = settings.cache != "bounded"
            return RedisStore(
                settings.redis.url.get_secret_value(), self.name, CacheSuspension(self.database), strict=strict
            )
        single_machine = self.database.dialect == "sqlite" or settings.cache == "off"
        return LocalStore(runtime_dir(settings), settings.cache_bytes, None if single_machine else self._count_peers)

    async def _count_peers(self) -> int:
        return await self._peers.count_others(self._health_database)

    def _open_rate_limiter(self) -> RateLimiter | None:
        settings = self.settings
        limits = settings.rate_limit
        if not limits.scale:
            return None
        local = LocalRateLimitStore(runtime_dir(settings))
        store: RateLimitStore = local
        if settings.redis.url is not None:
            from restwell.rate_limits._redis import RedisRateLimitStore  # noqa: PLC0415  # as above

            store = RedisRateLimitStore(settings.redis.url.get_secret_value(), self.name, local)
        return RateLimiter(store, scale=limits.scale, reads=limits.reads, writes=limits.writes)

    async def start(self) -> None:
        """Open the database, the cache and the rate limiter. The application calls it in its ASGI lifespan."""
        await self.database.start()
        await self._health_database.start()
        await self.cache.start()
        if self.rate_limiter is not None:
            await self.rate_limiter.start()
        await self.metrics.start()
        self.watchdog.start()

    async def close(self) -> None:
        """Close the registered resources, then what ``start`` opened, and write the last log lines.

        Closes all of them, also if one raises; its exception is raised at the end.
        """
        async with AsyncExitStack() as stack:  # in the reverse order
            if self._write_log is not None:
                stack.push_async_callback(asyncio.to_thread, output.flush)
            if "passwords" in vars(self):  # built on first use
                stack.callback(self.passwords.close)
            stack.push_async_callback(self.database.close)
            stack.push_async_callback(self.cache.close)
            if self.rate_limiter is not None:
                stack.push_async_callback(self.rate_limiter.close)
            for resource in (self.jobs, self._health_database, self.metrics):
                stack.push_async_callback(resource.close)
            for registered in reversed(self._closeables):
                stack.push_async_callback(registered.close)
            stack.callback(self.watchdog.close)

    def worker(
        self,
        services: Sequence[object],
        options: WorkerOptions,
        *,
        execute_isolated: Callable[[ClaimedJob], None] | None,
        name: str | None,
    ) -> Worker:
        url = self.settings.database.url.get_secret_value()
        return Worker(
            self.database,
            url,
            self.jobs,
            services,
            options,
            lines=self._write_log,
            execute_isolated=execute_isolated,
            name=name,
        )

    def app(
        self,
        parts: Sequence[Part | Version],
        *,
        version: str = "1.0.0",
        description: str = "",
        authenticate: Authenticate | AuthScheme | type[Authenticate] | None = None,
        session_cookies: bool = False,
        errors: ErrorFormat = PROBLEMS,
        migrations: Path | None = None,
        client_credentials: ClientCredentials | None = None,
        host: Host | None = None,
    ) -> App:
        """Build the application from features, controllers and handlers, or from versions of the API.

        ``authenticate``: returns the actor of an access token, or raises Unauthorized; as a class it is built from
        services. Or an authentication scheme. ``session_cookies``: browsers may send the access token in a cookie.
        ``errors``: the format of error responses. ``migrations``: the folder of the application's migrations, if it has
        tables. ``client_credentials``: token endpoint and scopes of machine clients. ``host``: the framework for
        everything that is no route of the kit, such as WebSockets.

        Raises TypeError for an invalid route.
        """
        features = list(features_of(parts))
        services = self._services_of(features)
        built = services.build_all()
        schema = Migrations(migrations)
        public_keys = self.access_tokens.public_keys if self.settings.jwt.key_files else None
        verify = services.build(authenticate) if isinstance(authenticate, type) else authenticate
        if session_cookies and not callable(verify):
            raise TypeError("session_cookies needs authenticate=; a scheme has its own option: TokenScheme(...)")
        defaults = Defaults(
            max_body_bytes=self.settings.request.max_bytes,
            auth=TokenScheme(verify, session_cookies=session_cookies) if callable(verify) else verify,
            errors=errors,
        )
        operational = [
            *health_routes(self._health_database, schema, self.metrics, self.jobs),
            *security_txt(self.settings.security.contact, self.settings.app.url),
            *well_known_routes(public_keys, self.settings.app.url, client_credentials),
        ]

        endpoints = compile_endpoints([*parts, *operational], services.find, defaults)
        document = openapi_document(
            endpoints,
            title=self.name,
            version=version,
            description=description,
            client_credentials=client_credentials,
            url=self.settings.app.url,
        )
        endpoints += compile_endpoints(docs_routes(document), services.find, defaults)
        endpoints = with_rates(endpoints, self.rate_limiter)
        router = Router(endpoints)
        dispatcher = Dispatcher(router, self.database, self._rate_limit, errors, host)
        return self._build(
            dispatcher,
            dispatcher.framework,
            router,
            endpoints,
            errors,
            _digest(document),
            openapi=document,
            services=built,
            prefixes=[part.prefix for part in parts if isinstance(part, Version)],
            features=features,
            migrations=schema,
            host_reason=host.reason if host is not None else None,
        )

    def wrap(
        self,
        app: AsgiApp,
        routes: Sequence[WrappedRoute] = (),
        *,
        features: Sequence[Feature] = (),
        version: str = "",
        errors: ErrorFormat = PROBLEMS,
        migrations: Path | None = None,
    ) -> App:
        """Put the edge around an existing ASGI application, and start and stop the kit with it.

        ``routes``: limits and cache policies of its routes; other requests have the default limits. ``features``: jobs,
        their services and queries. ``version``: part of the cache keys; set it to the release, so that a deploy uses no
        cached responses of the previous one. ``errors``: the format of the responses of the edge, such as 429.

        Raises TypeError for an invalid route.
        """
        if any(feature.controllers for feature in features):
            raise TypeError(
                "kit.wrap serves no controllers: build them with kit.app, with your application as its host"
            )
        endpoints = with_rates(map(compile_route, routes), self.rate_limiter)
        services = self._services_of(features)
        return self._build(
            with_sent_method(app),
            app,
            Router(endpoints),
            endpoints,
            errors,
            version,
            services=services.build_all(),
            features=features,
            migrations=Migrations(migrations),
            is_existing=True,
        )

    async def count_request(self, scope: Scope, user_id: UUID | str | int | None) -> None:
        """Count a request to a wrapped application, whose route is ``per_user``.

        Without ``user_id`` it is counted for the network of the client: call it also if authentication fails. Raises
        RateLimited.
        """
        context: RequestContext | None = scope.get(SCOPE_KEY)
        if context is None:
            raise RuntimeError("this request has not passed the edge: serve the application that kit.wrap returns")
        context.user_id = user_id
        if self._rate_limit is not None:
            await self._rate_limit.count(context)

    def _services_of(self, features: Sequence[Feature]) -> Services:
        """Register the jobs of the features, and prepare their services."""
        self.jobs.register([job for feature in features for job in feature.jobs])
        return Services((entry for feature in features for entry in feature.services), self._parts)

    def _build(
        self,
        inside: AsgiApp,
        framework: AsgiApp | None,
        router: Router[Any],
        routes: Sequence[Route],
        errors: ErrorFormat,
        version: str,
        *,
        services: Sequence[object],
        is_existing: bool = False,
        **described: Any,
    ) -> App:
        edge = build_edge(
            inside,
            router,
            self.settings,
            database=self.database,
            cache=self.cache,
            metrics=self.metrics,
            tokens=self._consistency_tokens,
            rate_limit=self._rate_limit,
            write_log=self._write_log,
            version=version,
            exempt_paths=HEALTH_PATHS,
            errors=errors,
            is_existing=is_existing,
        )
        services = [*services, self.database, self.cache, self.jobs, self.cursors, self.files]
        return App(self, edge, framework, routes, services=services, **described)


def _same(part: object) -> object:
    return part


def runtime_dir(settings: Settings) -> Path:
    """The directory of the files that the processes of this machine share."""
    return settings.runtime_dir or default_runtime_dir(settings.database.url.get_secret_value())


def open_peers(settings: Settings, name: str) -> Peers:
    return Peers(name, runtime_dir(settings) if settings.redis.url is None else None)


def _digest(document: Schema) -> str:
    """Part of the cache keys: responses of another release are never used."""
    return hashlib.blake2b(msgspec.json.encode(document), digest_size=6).hexdigest()
