"""The composition root: builds the kit from the settings, and the ASGI application from routes and services."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from restwell._optional_parts import OptionalParts
from restwell.auth import RefreshTokens
from restwell.auth._key_derivation import KeyDeriver, development_secret
from restwell.cache import Cache
from restwell.cache._local import LocalStore, default_runtime_dir
from restwell.cache._peers import Peers
from restwell.cache._store import Store
from restwell.cache._suspension import CacheSuspension
from restwell.database import Migrations, open_database
from restwell.database._consistency import ConsistencyTokens
from restwell.database._metrics import DatabaseCollector
from restwell.edge._access_log import AccessLog
from restwell.edge._canonical_path import CanonicalPath
from restwell.edge._client_address import ClientAddress
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import Hook, Receive, Scope, Send
from restwell.edge._cors import Cors
from restwell.edge._header_fields import HeaderFields
from restwell.edge._options import Options
from restwell.edge._pipeline import Edge
from restwell.edge._rate_limit import RateLimitHeaders
from restwell.edge._read_your_writes import ReadYourWrites
from restwell.edge._request_id import LogContext, RequestId
from restwell.edge._response_cache import ResponseCache
from restwell.edge._security_headers import SecurityHeaders
from restwell.edge._url_limit import UrlLimit
from restwell.files import Files
from restwell.jobs import Job, Jobs, Worker, WorkerOptions
from restwell.jobs._notifier import open_notifier
from restwell.jobs._rows import ClaimedJob
from restwell.observability._log_output import output
from restwell.observability._logs import json_log_writer
from restwell.observability._metrics import Metrics
from restwell.observability._watchdog import Watchdog
from restwell.pages import Cursors
from restwell.rate_limits._limiter import RateLimiter, RateLimitStore
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.settings import Settings
from restwell.web import ApiRequest, ClientCredentials, Version, current_actor
from restwell.web._caching import cached_routes
from restwell.web._checks import check_routes
from restwell.web._docs import docs_routes
from restwell.web._fast_path import FastPath
from restwell.web._forms import read_form
from restwell.web._guards import Authenticate
from restwell.web._health import HEALTH_PATHS, health_routes
from restwell.web._idempotent import check_idempotent_routes
from restwell.web._openapi import openapi_document
from restwell.web._openapi_schemas import Schema
from restwell.web._paths import allowed_methods
from restwell.web._problems import error_response
from restwell.web._query_budget import QueryBudget
from restwell.web._rate_limits import apply_rate_limits
from restwell.web._request import read_filters
from restwell.web._session_cookies import SESSION_COOKIES
from restwell.web._timeouts import apply_timeouts
from restwell.web._uploads import MULTIPART_PARTS, read_upload
from restwell.web._well_known import security_txt, well_known_routes

DEVELOPMENT_SECRET: Final = Path("var/development-secret")


class App:
    """The ASGI application: the edge around Litestar, its OpenAPI document, and the kit."""

    def __init__(
        self,
        kit: "Restwell",
        edge: Edge,
        litestar: Litestar,
        openapi: Schema,
        query_budget: QueryBudget,
        concurrency_limiter: ConcurrencyLimiter,
        services: Sequence[object],
        prefixes: Sequence[str],
        migrations: Migrations,
    ) -> None:
        self.kit = kit
        self.migrations = migrations
        self.prefixes = prefixes
        self._services = services
        self._edge = edge
        self.query_budget = query_budget
        self.concurrency_limiter = concurrency_limiter
        self.litestar = litestar
        self.openapi = openapi

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        return self._edge(scope, receive, send)  # returned, not awaited: saves one coroutine per request

    def worker(
        self,
        options: WorkerOptions,
        *,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
        name: str | None = None,
    ) -> Worker:
        """Build a worker for the jobs, with the services of the routes. Start the kit before the worker."""
        return self.kit.worker(self._services, options, execute_isolated=execute_isolated, name=name)


class Restwell(OptionalParts):
    """The kit: built once from the settings and passed to constructors. Opens no connection before ``start``."""

    def __init__(self, settings: Settings, *, name: str) -> None:
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
        self.metrics.registry.register(output)
        self.metrics.registry.register(DatabaseCollector(self.database))
        self.cache = Cache(
            self._open_cache_store(),
            max_bytes=settings.cache_bytes,
            load_timeout_seconds=seconds,
            enabled=settings.cache != "off",
        )
        self.metrics.registry.register(self.cache.metrics)
        self.rate_limiter = self._open_rate_limiter()
        if self.rate_limiter is not None:
            self.metrics.registry.register(self.rate_limiter)
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
        *,
        version: str,
        description: str,
        versions: Sequence[Version],
        provide: Sequence[object],
        authenticate: Authenticate,
        migrations: Path | None = None,
        jobs: Sequence[Job[..., Any]] = (),
        client_credentials: ClientCredentials | None = None,
        session_cookies: bool = False,
    ) -> App:
        """Build the application.

        ``provide``: services, injected into controllers and jobs by type. ``jobs``: every job that the application
        enqueues. ``migrations``: the folder of the application's migrations, if it has tables. ``client_credentials``:
        token endpoint and scopes of machine clients. ``session_cookies``: guards also accept the access token in a
        cookie.

        Raises TypeError for an invalid route.
        """
        self.jobs.register(jobs)
        public_keys = self.access_tokens.public_keys if self.settings.jwt.key_files else None
        services = (*provide, self.jobs, self.cursors)
        schema = Migrations(migrations)
        litestar = Litestar(
            route_handlers=[
                *(each.router(services) for each in versions),
                *health_routes(self._health_database, schema, self.metrics, self.jobs),
                *security_txt(self.settings.security.contact, self.settings.app.url),
                *well_known_routes(public_keys, self.settings.app.url, client_credentials),
            ],
            dependencies={
                "actor": Provide(current_actor, sync_to_thread=False),
                "filters": Provide(read_filters, sync_to_thread=False),
                "form": Provide(read_form),
                "upload": Provide(read_upload),
            },
            exception_handlers={Exception: error_response},
            request_class=ApiRequest,
            request_max_body_size=self.settings.request.max_bytes,
            multipart_form_part_limit=MULTIPART_PARTS,
            openapi_config=None,
            logging_config=None,
            on_startup=[self.start],
            on_shutdown=[self.close],
            state=State(
                {
                    "authenticate": authenticate,
                    "database": self.database,
                    SESSION_COOKIES: session_cookies,
                }
            ),
        )
        check_idempotent_routes(litestar)
        check_routes(litestar)
        document = openapi_document(
            litestar,
            title=self.name,
            version=version,
            description=description,
            client_credentials=client_credentials,
            url=self.settings.app.url,
        )
        for handler in docs_routes(document):
            litestar.register(handler)
        query_budget = QueryBudget()
        self.metrics.registry.register(query_budget)
        hooks: list[Hook] = [
            RequestId(),
            HeaderFields(),
            UrlLimit(),
            CanonicalPath(),
            LogContext(),
            SecurityHeaders(),
            AccessLog(self._write_log),
            query_budget,
        ]
        if self.settings.trusted_hops:
            hooks.insert(2, ClientAddress(self.settings.trusted_hops))
        if self.settings.cors.origins:
            hooks.append(Cors(self.settings.cors.origins))
        hooks.append(Options(allowed_methods(litestar)))
        if self.settings.database.replica_urls:
            hooks.append(ReadYourWrites(self._consistency_tokens))
        if self.rate_limiter is not None:
            hooks.append(RateLimitHeaders(self.settings.trusted_hops))
            apply_rate_limits(litestar, self.rate_limiter)
        apply_timeouts(litestar)
        responses = ResponseCache(self.cache, cached_routes(litestar), _document_digest(document))
        concurrency_limiter = ConcurrencyLimiter(self.database.pool_stats, HEALTH_PATHS)
        self.metrics.registry.register(concurrency_limiter)
        edge = Edge(
            FastPath(litestar),
            hooks,
            self.settings.request.timeout_seconds,
            responses,
            rate_limiter=self.rate_limiter,
            concurrency_limiter=concurrency_limiter,
        )
        return App(
            self,
            edge,
            litestar,
            document,
            query_budget,
            concurrency_limiter,
            services,
            [each.prefix for each in versions],
            schema,
        )


def runtime_dir(settings: Settings) -> Path:
    """The directory of the files that the processes of this machine share."""
    return settings.runtime_dir or default_runtime_dir(settings.database.url.get_secret_value())


def open_peers(settings: Settings, name: str) -> Peers:
    return Peers(name, runtime_dir(settings) if settings.redis.url is None else None)


def _document_digest(document: Schema) -> str:
    """Part of the cache keys: responses of another release are never used."""
    return hashlib.blake2b(msgspec.json.encode(document), digest_size=6).hexdigest()
