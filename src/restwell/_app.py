"""The composition root: builds the kit from the settings, and the ASGI application from features."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import MetaData

from restwell._application import App
from restwell._edge_hooks import build_edge
from restwell._host import Host
from restwell._kit import Kit
from restwell._services import Services, type_name
from restwell.asgi import Route as WrappedRoute
from restwell.asgi import compile_route, with_sent_method
from restwell.database import Migrations
from restwell.database._migrations import KIT_PACKAGES
from restwell.edge._api_usage import ApiUsage
from restwell.edge._context import SCOPE_KEY, AsgiApp, RequestContext, Scope
from restwell.edge._lifecycle_hooks import Lifecycles
from restwell.edge._rate_limit import with_rates
from restwell.edge._route import Route
from restwell.edge._router import Router
from restwell.errors import PROBLEMS, ErrorFormat
from restwell.events import Consumer
from restwell.events._consumer import Consumers
from restwell.events._metrics import consumer_metrics
from restwell.events._status import statuses_of
from restwell.jobs import JobOperations
from restwell.jobs._bulk_changes import BulkChanges, change_jobs
from restwell.retention import FEATURE as CLEANUP
from restwell.web import AuthScheme, Feature, Part, TokenScheme, Version
from restwell.web._authentication import Authentication
from restwell.web._dispatch import Dispatcher
from restwell.web._docs import docs_routes
from restwell.web._endpoint import Defaults, compile_endpoints, compile_handlers
from restwell.web._features import (
    authentication_of,
    client_credentials_of,
    enabled_parts,
    features_of,
    migrations_of,
    serves_routes,
    types_of,
    versions_of,
    webhooks_of,
)
from restwell.web._health import HEALTH_PATHS, health_routes
from restwell.web._openapi import TAGS, openapi_document
from restwell.web._openapi_schemas import Schema
from restwell.web._transports import Transport
from restwell.web._well_known import security_txt, well_known_routes

BUILT_IN: Final = (CLEANUP, Feature(services=[BulkChanges, JobOperations], jobs=[change_jobs]))
"""What every application has in addition to its own features."""


class Restwell(Kit):
    """The kit: built once from the settings and passed to constructors. Opens no connection before ``start``."""

    def app(
        self,
        parts: Sequence[Part | Version],
        *,
        version: str = "1.0.0",
        description: str = "",
        contact: str = "",
        license_id: str = "",
        authenticate: Authentication | None = None,
        session_cookies: bool = False,
        errors: ErrorFormat = PROBLEMS,
        migrations: Path | None = None,
        metadata: MetaData | None = None,
        host: Host | None = None,
    ) -> App:
        """Build the application from features, controllers and handlers, or from versions of the API.

        ``contact`` (an email address or a URL) and ``license_id`` (an SPDX expression such as ``MIT``) are those of the
        API, for its documents. ``authenticate``: returns the actor of an access token, or raises Unauthorized; as a
        class it is built from services. Or an authentication scheme. ``session_cookies``: browsers may send the access
        token in a cookie. ``errors``: the format of error responses. ``migrations``: the folder of the application's
        migrations, if it has tables. ``metadata``: these tables, so that ``restwell migrate`` writes migrations from
        them and finds what differs. ``host``: the framework for everything that is no route of the kit, such as
        WebSockets.

        Raises TypeError for an invalid route.
        """
        again: dict[str, Any] = {name: given for name, given in locals().items() if name != "self"}
        given: object = parts
        if not isinstance(given, list | tuple):
            raise TypeError(f"kit.app takes a list of features, controllers, handlers or versions, not {given!r}")
        self.metrics.reports.version = version
        parts = enabled_parts(parts, self.settings)
        features = [*features_of(parts), *BUILT_IN]
        schema = _migrations(migrations, features, metadata)
        services = self._services_of(features, schema)
        built = services.build_all()
        types = types_of(features, services.build)
        client_credentials = client_credentials_of(parts)
        public_keys = self.access_tokens.public_keys if self.settings.jwt.key_files else None
        authentication = authentication_of(features, authenticate)
        verify = services.build(authentication) if isinstance(authentication, type) else authentication
        if verify is not None and not callable(verify) and not isinstance(verify, AuthScheme):
            raise TypeError(
                f"authenticate= must be a function of the access token, its class, or an AuthScheme, not {verify!r}"
            )
        session_cookies = session_cookies or any(feature.session_cookies for feature in features)
        if session_cookies and not callable(verify):
            raise TypeError("session_cookies needs authenticate=; a scheme has its own option: TokenScheme(...)")
        defaults = Defaults(
            max_body_bytes=self.settings.request.max_bytes,
            auth=TokenScheme(verify, session_cookies=session_cookies) if callable(verify) else verify,
            errors=errors,
            types=types,
        )
        operational = [
            *health_routes(self._health_database, schema, self.metrics, self.jobs, self._event_metrics, self.drain),
            *security_txt(self.settings.security.contact, self.settings.app.url),
            *well_known_routes(public_keys, self.settings.app.url, client_credentials),
        ]

        endpoints = compile_endpoints([*parts, *operational], services.find, defaults)
        for each in built:
            if isinstance(each, Transport):
                called = compile_handlers(parts, each.handlers, services.find, defaults)
                each.open(with_rates(called, self.rate_limiter), services.find, self._rate_limit)
        versions = versions_of(parts)
        tags = TAGS | {tag: text for each in features for tag, text in each.tag_descriptions.items()}
        documents = {
            each.prefix: openapi_document(
                [endpoint for endpoint in endpoints if endpoint.version.prefix in {each.prefix, ""}],
                title=self.name,
                version=version,
                description=description,
                contact=contact,
                license_id=license_id,
                tags=tags,
                webhooks=webhooks_of(parts, each),
                client_credentials=client_credentials_of([each]) or client_credentials,
                types=types,
                url=self.settings.app.url,
                lifecycle=each.lifecycle,
            )
            for each in versions
        }
        endpoints += compile_endpoints(docs_routes(documents, versions), services.find, defaults)
        endpoints = with_rates(endpoints, self.rate_limiter)
        router = Router(endpoints)
        dispatcher = Dispatcher(router, self.database, self._rate_limit, self.drain, errors, host)
        self.metrics.registry.register(dispatcher)
        return self._build(
            dispatcher,
            dispatcher.framework,
            router,
            endpoints,
            errors,
            _digest(documents),
            versions=versions,
            documents=documents,
            services=built,
            features=features,
            migrations=schema,
            host_reason=host.reason if host is not None else None,
            build_again=lambda settings: type(self)(settings, name=self.name).app(**again),
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
        their services, queries and migrations. ``version``: part of the cache keys; set it to the release, so that a
        deploy uses no cached responses of the previous one. ``errors``: the format of the responses of the edge, such
        as 429.

        Raises TypeError for an invalid route.
        """
        if any(map(serves_routes, features)):
            raise TypeError(
                "kit.wrap serves no controllers: build them with kit.app, with your application as its host"
            )
        self.metrics.reports.version = version
        endpoints = with_rates(map(compile_route, routes), self.rate_limiter)
        features = [*features, *BUILT_IN]
        schema = _migrations(migrations, features)
        services = self._services_of(features, schema)
        return self._build(
            with_sent_method(app),
            app,
            Router(endpoints),
            endpoints,
            errors,
            version,
            services=services.build_all(),
            features=features,
            migrations=schema,
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

    async def _event_metrics(self) -> list[Metric]:
        return [*consumer_metrics(await statuses_of(self.database, self.consumers))]

    def _services_of(self, features: Sequence[Feature], schema: Migrations) -> Services:
        """Register the jobs of the features, and prepare their services."""
        self.jobs.register([job for feature in features for job in feature.jobs])
        parts = {**self._parts, type_name(Migrations): lambda: schema}
        return Services((entry for feature in features for entry in feature.services), parts)

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
        versions: Sequence[Version] = (),
        is_existing: bool = False,
        **described: Any,
    ) -> App:
        ends = {each.prefix: each.lifecycle for each in versions if each.prefix}
        lifecycles, usage = Lifecycles(routes, ends), ApiUsage(routes, ends)
        if usage.is_needed:
            self.metrics.registry.register(usage)
        edge = build_edge(
            inside,
            router,
            self.settings,
            database=self.database,
            cache=self.cache,
            metrics=self.metrics,
            traces=self.traces,
            tokens=self._consistency_tokens,
            rate_limit=self._rate_limit,
            write_log=self._write_log,
            drain=self.drain,
            version=version,
            exempt_paths=HEALTH_PATHS,
            errors=errors,
            is_existing=is_existing,
            usage=usage if usage.is_needed else None,
            lifecycles=lifecycles if lifecycles.is_needed else None,
        )
        for service in services:
            if Collector in type(service).__mro__:  # a Protocol, which isinstance refuses
                self.metrics.registry.register(cast(Collector, service))
        consumers = [each for each in services if isinstance(each, Consumer)]
        self.consumers = Consumers(self.database, self.events, consumers)
        services = [*services, self.database, self.cache, self.jobs, self.events, self.cursors, self.files]
        return App(self, edge, framework, routes, services=services, versions=versions, **described)


def _migrations(folder: Path | None, features: Sequence[Feature], metadata: MetaData | None = None) -> Migrations:
    return Migrations(folder, packages={**KIT_PACKAGES, **migrations_of(features)}, metadata=metadata)


def _digest(documents: Mapping[str, Schema]) -> str:
    """Part of the cache keys: responses of another release are never used."""
    return hashlib.blake2b(msgspec.json.encode(documents), digest_size=6).hexdigest()
