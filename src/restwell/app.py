"""The factory: what an application is made of, and what wraps what."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from restwell.auth import AccessTokens, KeyDeriver, Passwords, RefreshTokens
from restwell.auth.encryption import SecretBox
from restwell.auth.key_derivation import development_secret
from restwell.auth.oauth import AuthorizationFlows, Providers
from restwell.auth.signing_keys import from_files, from_secrets
from restwell.cache import Cache, CacheSuspension, LocalStore, Store
from restwell.cache.local import default_runtime_dir
from restwell.cache.peers import Peers
from restwell.database import Migrations, open_database
from restwell.database.consistency import ConsistencyTokens
from restwell.database.metrics import DatabaseCollector
from restwell.edge import (
    AccessLog,
    CanonicalPath,
    ClientAddress,
    ConcurrencyLimiter,
    Cors,
    Edge,
    HeaderFields,
    Hook,
    LogContext,
    Options,
    RateLimitHeaders,
    ReadYourWrites,
    RequestId,
    ResponseCache,
    SecurityHeaders,
    UrlLimit,
)
from restwell.edge.context import Receive, Scope, Send
from restwell.email_addresses import EmailAddress
from restwell.files import Files
from restwell.idempotency import Idempotency
from restwell.jobs import ClaimedJob, Job, Jobs, Worker, WorkerOptions, open_notifier
from restwell.mail import open_mailer
from restwell.observability.log_output import DroppedLinesCollector, output
from restwell.observability.logs import json_log_writer
from restwell.observability.metrics import Metrics
from restwell.observability.watchdog import Watchdog
from restwell.rate_limits import LocalRateLimitStore, RateLimiter, RateLimitStore
from restwell.settings import Settings
from restwell.web.caching import cached_routes
from restwell.web.checks import check_routes
from restwell.web.client_credentials import ClientCredentials
from restwell.web.controllers import Version
from restwell.web.docs import docs_routes
from restwell.web.fast_path import FastPath
from restwell.web.forms import read_form
from restwell.web.guards import Authenticate, current_actor
from restwell.web.health import HEALTH_PATHS, health_routes
from restwell.web.idempotent import check_idempotent_routes
from restwell.web.openapi import openapi_document
from restwell.web.openapi_schemas import Schema
from restwell.web.pagination import Cursors
from restwell.web.paths import allowed_methods
from restwell.web.problems import error_response
from restwell.web.query_budget import QueryBudget
from restwell.web.rate_limits import apply_rate_limits
from restwell.web.request import ApiRequest, read_filters
from restwell.web.session_cookies import SESSION_COOKIES
from restwell.web.timeouts import apply_timeouts
from restwell.web.uploads import MULTIPART_PARTS, read_upload
from restwell.web.well_known import security_txt, well_known_routes


class CanClose(Protocol):
    async def close(self) -> None: ...


Closes = TypeVar("Closes", bound=CanClose)

DEVELOPMENT_SECRET: Final = Path("var/development-secret")


class App:
    """An ASGI application: the edge around Litestar, with the OpenAPI document it serves and the kit it is built on."""

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
    ) -> None:
        self.kit = kit
        self.prefixes = prefixes
        self._services = services
        self._edge = edge
        self.query_budget = query_budget
        self.concurrency_limiter = concurrency_limiter
        self.litestar = litestar
        self.openapi = openapi

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        return self._edge(scope, receive, send)  # its coroutine, not another around it

    def worker(
        self,
        options: WorkerOptions,
        *,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
        name: str | None = None,
    ) -> Worker:
        """A worker for its jobs, with the services that its routes have. The kit must be started before it runs."""
        return self.kit.worker(self._services, options, execute_isolated=execute_isolated, name=name)


class Restwell:
    """The parts of the kit, built once from the settings and handed to whoever needs them. Nothing connects before start."""

    def __init__(self, settings: Settings, *, name: str) -> None:
        self.settings = settings
        self.name = name
        jwt = settings.jwt
        secret = jwt.secret.get_secret_value() if jwt.secret else development_secret(DEVELOPMENT_SECRET)
        keys = KeyDeriver(secret)
        url = settings.database.url.get_secret_value()
        seconds = settings.request.timeout_seconds
        self._peers = peers_of(settings, name)
        self.database = open_database(
            url,
            settings.database.pool_size,
            seconds,
            [replica.get_secret_value() for replica in settings.database.replica_urls],
            self._peers.session_start,
        )
        # Readiness asks on a connection of its own: a busy pool must not look like a dead database, or the load
        # balancer takes out one overloaded node after the other. Other machines are looked for there, too.
        self._asked_by_health = (
            open_database(url, 1, seconds) if self.database.dialect == "postgresql" else self.database
        )
        self.metrics = Metrics(settings.metrics.dir)
        self.watchdog = Watchdog()
        self.metrics.registry.register(self.watchdog)
        self.metrics.registry.register(DroppedLinesCollector())
        self.metrics.registry.register(DatabaseCollector(self.database))
        self.cache = Cache(
            self._level_two(),
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
        smtp = settings.smtp.url
        self.mailer = open_mailer(smtp.get_secret_value() if smtp is not None else None, settings.mail.sender)
        self.files = Files(settings.files.dir)
        self.passwords = Passwords()
        secrets = [secret, *(old.get_secret_value() for old in jwt.previous_secrets)]
        signing_keys = from_files(jwt.key_files) if jwt.key_files else from_secrets(secrets)
        self.access_tokens = AccessTokens(
            signing_keys, issuer=settings.app.url or name, ttl_seconds=jwt.access_ttl_seconds
        )
        self.secret_box = SecretBox([KeyDeriver(one).derive("encryption") for one in secrets])
        self.refresh_tokens = RefreshTokens(keys.derive("refresh-token"))
        self.oauth_providers = Providers(one.get_secret_value() for one in settings.oauth.providers)
        self.oauth_flows = AuthorizationFlows(keys.derive("sign-in"))
        self.cursors = Cursors(keys.derive("cursor"))
        self._lines = json_log_writer(settings.log)
        self._own: list[CanClose] = []
        self._consistency_tokens = ConsistencyTokens(keys.derive("consistency"))

    def _level_two(self) -> Store:
        """Redis, where there is one; else what the processes of this machine share."""
        settings = self.settings
        if settings.redis.url is not None:
            from restwell.cache.redis import RedisStore  # noqa: PLC0415  # who does not use it does not load it

            strict = settings.cache != "bounded"
            return RedisStore(
                settings.redis.url.get_secret_value(), self.name, CacheSuspension(self.database), strict=strict
            )
        alone = self.database.dialect == "sqlite" or settings.cache == "off"
        return LocalStore(runtime_dir(settings), settings.cache_bytes, None if alone else self._other_machines)

    async def _other_machines(self) -> int:
        return await self._peers.count_others(self._asked_by_health)

    def _open_rate_limiter(self) -> RateLimiter | None:
        settings = self.settings
        limits = settings.rate_limit
        if not limits.scale:
            return None
        machine = LocalRateLimitStore(runtime_dir(settings))
        store: RateLimitStore = machine
        if settings.redis.url is not None:
            from restwell.rate_limits.redis import RedisRateLimitStore  # noqa: PLC0415  # as above

            store = RedisRateLimitStore(settings.redis.url.get_secret_value(), self.name, machine)
        return RateLimiter(store, scale=limits.scale, reads=limits.reads, writes=limits.writes)

    async def start(self) -> None:
        EmailAddress.preload()
        await self.database.start()
        await self._asked_by_health.start()
        await self.cache.start()
        if self.rate_limiter is not None:
            await self.rate_limiter.start()
        await self.metrics.start()
        self.watchdog.start()

    def close_on_shutdown(self, own: Closes) -> Closes:
        """What the application opens besides, closed with the kit."""
        self._own.append(own)
        return own

    async def close(self) -> None:
        self.watchdog.close()
        for own in self._own:
            await own.close()
        await self.metrics.close()
        await self._asked_by_health.close()
        await self.oauth_providers.close()
        await self.jobs.close()
        if self.rate_limiter is not None:
            await self.rate_limiter.close()
        await self.cache.close()
        await self.database.close()
        self.passwords.close()
        if self._lines is not None:
            await asyncio.to_thread(output.flush)  # what it did is told before it has ended

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
            lines=self._lines,
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
        migrations: Migrations,
        jobs: Sequence[Job[..., Any]] = (),
        client_credentials: ClientCredentials | None = None,
        idempotency: Idempotency | None = None,
        session_cookies: bool = False,
    ) -> App:
        """The application: ``provide`` gives controllers and jobs their services, by type; ``jobs`` are all that it enqueues;
        ``client_credentials`` says where and for what scopes machine clients get tokens, where there are any; ``idempotency`` keeps the answers
        of routes that are safe to repeat; with ``session_cookies``, guards take the access token from its cookie too.
        """
        self.jobs.register(jobs)
        services = (*provide, self.jobs, self.cursors)
        litestar = Litestar(
            route_handlers=[
                *(one.router(services) for one in versions),
                *health_routes(self._asked_by_health, migrations, self.metrics, self.jobs),
                *security_txt(self.settings.security.contact, self.settings.app.url),
                *well_known_routes(self.access_tokens.public_keys, self.settings.app.url, client_credentials),
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
                    "idempotency": (self.database, idempotency),
                    SESSION_COOKIES: session_cookies,
                }
            ),
        )
        check_idempotent_routes(litestar, idempotency)
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
            AccessLog(self._lines),
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
        responses = ResponseCache(self.cache, cached_routes(litestar), _digest(document))
        concurrency_limiter = ConcurrencyLimiter(self.database.pool_stats, HEALTH_PATHS)
        self.metrics.registry.register(concurrency_limiter)
        edge = Edge(
            FastPath(litestar),
            hooks,
            self.settings.request.timeout_seconds,
            responses,
            limits=self.rate_limiter,
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
            [one.prefix for one in versions],
        )


def runtime_dir(settings: Settings) -> Path:
    """Where what the processes of this machine share is."""
    return settings.runtime_dir or default_runtime_dir(settings.database.url.get_secret_value())


def peers_of(settings: Settings, name: str) -> Peers:
    return Peers(name, runtime_dir(settings) if settings.redis.url is None else None)


def _digest(document: Schema) -> str:
    """Tells one release's answers from another's."""
    return hashlib.blake2b(msgspec.json.encode(document), digest_size=6).hexdigest()
