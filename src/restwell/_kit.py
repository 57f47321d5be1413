"""The parts of the kit, built from the settings."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

from restwell._optional_parts import OptionalParts
from restwell._services import type_name
from restwell._settings_files import ENV_FILE, secrets_dir
from restwell.auth import RefreshTokens
from restwell.auth._key_derivation import KeyDeriver, development_secret
from restwell.cache import Cache
from restwell.cache._local import LocalStore, default_runtime_dir
from restwell.cache._peers import Peers
from restwell.cache._store import Store
from restwell.cache._suspension import CacheSuspension
from restwell.database import Database, open_database
from restwell.database._consistency import ConsistencyTokens
from restwell.database._metrics import DatabaseCollector
from restwell.edge._drain import Drain
from restwell.edge._rate_limit import RateLimit
from restwell.events import Events
from restwell.events._consumer import Consumers
from restwell.files import Files
from restwell.jobs import Jobs, Worker, WorkerOptions
from restwell.jobs._notifier import open_notifier
from restwell.jobs._rows import ClaimedJob
from restwell.observability._gc_metrics import GcMetrics
from restwell.observability._log_output import output
from restwell.observability._logs import json_log_writer
from restwell.observability._metrics import Metrics
from restwell.observability._recent_requests import REPORT as REQUESTS
from restwell.observability._trace_export import TraceExport
from restwell.observability._trace_recorder import TraceRecorder
from restwell.observability._watchdog import REPORT as BLOCKS
from restwell.observability._watchdog import Watchdog
from restwell.pages import Cursors
from restwell.rate_limits._limiter import CLIENTS, RateLimiter, RateLimitStore
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.settings import Settings

DEVELOPMENT_SECRET: Final = Path("var/development-secret")


class Kit(OptionalParts):
    """What the kit consists of. Opens no connection before ``start``."""

    def __init__(self, settings: Settings | None = None, *, name: str = "app") -> None:
        self.reads_environment = settings is None
        if settings is None:
            settings = Settings.load(os.environ, env_file=ENV_FILE, secrets_dir=secrets_dir())
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
        self.metrics.reports.add(BLOCKS, lambda: list(self.watchdog.blocks))
        self._gc_metrics = GcMetrics()
        self.metrics.registry.register(self._gc_metrics)
        self.metrics.registry.register(output)
        self._trace_export = self._open_trace_export()
        self.traces = TraceRecorder(
            sample_rate=settings.otel.traces_sampler_arg,
            trusts_caller=settings.otel.traces_sampler.startswith("parentbased"),
            slow_seconds=settings.trace.slow_seconds,
            export=self._trace_export.add if self._trace_export is not None else None,
        )
        self.metrics.reports.add(REQUESTS, self.traces.recent.report)
        self.metrics.registry.register(self.traces)
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
            self.metrics.reports.add(CLIENTS, self.rate_limiter.limited_clients)
            self._rate_limit = RateLimit(self.rate_limiter, settings.trusted_hops)
        broker = settings.jobs.url
        broker_url = broker.get_secret_value() if broker is not None else None
        self.jobs = Jobs(self.database, open_notifier(self.database, url, broker_url, name))
        self.events = Events(self.database, open_notifier(self.database, url, broker_url, name))
        self.consumers = Consumers(self.database, self.events, [])
        self.metrics.registry.register(self.jobs.metrics)
        self.files = Files(settings.files.dir)
        self.refresh_tokens = RefreshTokens(keys.derive("refresh-token"))
        self.cursors = Cursors(keys.derive("cursor"))
        self._write_log = json_log_writer(settings.log)
        self.drain = Drain()
        parts = {
            type(self): self,
            Settings: settings,
            type(settings): settings,
            Database: self.database,
            Cache: self.cache,
            Jobs: self.jobs,
            Events: self.events,
            Cursors: self.cursors,
            Files: self.files,
            RefreshTokens: self.refresh_tokens,
            Metrics: self.metrics,
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

    def _open_trace_export(self) -> TraceExport | None:
        otel = self.settings.otel
        if otel.traces_url is None:
            return None
        from restwell.observability._otlp import OtlpSender  # noqa: PLC0415  # as above

        sender = OtlpSender(
            otel.traces_url,
            otel.pairs(otel.exporter_otlp_traces_headers) or otel.pairs(otel.exporter_otlp_headers),
            lambda: {
                "service.name": self.name,
                "service.version": self.metrics.reports.version,
                "deployment.environment.name": self.settings.app.env,
                **otel.pairs(otel.resource_attributes),
                **({"service.name": otel.service_name} if otel.service_name else {}),
            },
            database=self.database.dialect,
        )
        export = TraceExport(sender)
        self.metrics.registry.register(export)
        return export

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
        if self._trace_export is not None:
            self._trace_export.start()
        await self.metrics.start()
        self.watchdog.start()
        self._gc_metrics.start()

    async def close(self) -> None:
        """Close the registered resources, then what ``start`` opened, and write the last log lines.

        Closes all of them, also if one raises; its exception is raised at the end.
        """
        async with AsyncExitStack() as stack:  # in the reverse order
            if self._write_log is not None:
                stack.push_async_callback(asyncio.to_thread, output.flush)
            if self._trace_export is not None:
                stack.push_async_callback(asyncio.to_thread, self._trace_export.close)
            if "passwords" in vars(self):  # built on first use
                stack.callback(self.passwords.close)
            stack.push_async_callback(self.database.close)
            stack.push_async_callback(self.cache.close)
            if self.rate_limiter is not None:
                stack.push_async_callback(self.rate_limiter.close)
            for resource in (self.jobs, self.events, self._health_database, self.metrics):
                stack.push_async_callback(resource.close)
            for registered in reversed(self._closeables):
                stack.push_async_callback(registered.close)
            stack.callback(self.watchdog.close)
            stack.callback(self._gc_metrics.close)

    def worker(
        self,
        services: Sequence[object],
        options: WorkerOptions,
        *,
        execute_isolated: Callable[[ClaimedJob], None] | None,
        name: str | None,
        applies_events: bool = True,
    ) -> Worker:
        self.metrics.reports.kind = "worker"
        url = self.settings.database.url.get_secret_value()
        return Worker(
            self.database,
            url,
            self.jobs,
            services,
            options,
            lines=self._write_log,
            traces=self.traces,
            execute_isolated=execute_isolated,
            name=name,
            background=self.consumers.run if applies_events and self.consumers.runs else None,
        )


def _same(part: object) -> object:
    return part


def runtime_dir(settings: Settings) -> Path:
    """The directory of the files that the processes of this machine share."""
    return settings.runtime_dir or default_runtime_dir(settings.database.url.get_secret_value())


def open_peers(settings: Settings, name: str) -> Peers:
    return Peers(name, runtime_dir(settings) if settings.redis.url is None else None)
