"""Settings: typed, frozen sections, read from environment variables.

The name of a variable is the section and the field joined by an underscore: ``DATABASE_URL`` is
``settings.database.url``.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)

from restwell._cpus import available_cpus
from restwell._database_url import postgres_url, sqlite_path
from restwell._email_addresses import mailbox
from restwell._extras import check_installed
from restwell._settings_files import read_sources
from restwell._settings_values import (
    SECRET_MIN_BYTES,
    check_broker_url,
    check_contact,
    check_origin,
    check_otlp_url,
    check_pairs,
    check_redis_url,
    check_smtp_url,
    faults_of,
    is_weak_secret,
    parse_rate,
)
from restwell.errors import ConfigurationError

LOOPBACK: Final = r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
_DEFAULT_MAIL: Final = "folder:var/mail"


def _database_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in {"sqlite", "postgresql", "postgres"}:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if scheme == "sqlite":
        sqlite_path(url)
    else:
        postgres_url(url)
        check_installed("asyncpg", "postgresql")
    return value


def _replica_urls(value: object) -> object:
    """Split URLs at commas or spaces. A URL may itself contain a comma between two hosts."""
    if not isinstance(value, str):
        return value
    urls = re.split(r"[,\s]+(?=[a-z]+://)", value.strip())
    for number, url in enumerate(urls, start=1):
        try:
            postgres_url(url)
        except ValueError as error:
            raise ValueError(f"URL {number} {error}") from None
    return tuple(urls)


class Section(BaseModel):
    """A frozen group of settings. ``repr`` shows no secrets."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True)


def _public_url(value: str) -> str:
    url = value.rstrip("/")
    if not re.fullmatch(rf"(https://[^/?#@\s]+|{LOOPBACK})", url):
        raise ValueError("must be the public URL without a path, https://shop.example.com; http:// only for localhost")
    return url


class AppSettings(Section):
    env: Literal["development", "test", "production"] = "development"
    url: Annotated[str, AfterValidator(_public_url)] | None = None


class DatabaseSettings(Section):
    url: Annotated[SecretStr, AfterValidator(_database_url)] = SecretStr("sqlite:///var/app.db")
    replica_urls: Annotated[tuple[SecretStr, ...], BeforeValidator(_replica_urls)] = ()
    pool_size: int = Field(default=10, ge=1, le=500)

    @model_validator(mode="after")
    def _replicas_are_of_postgres(self) -> Self:
        if self.replica_urls and self.url.get_secret_value().startswith("sqlite"):
            raise ValueError(
                "SQLite has no replicas; unset DATABASE_REPLICA_URLS, or set DATABASE_URL to a PostgreSQL primary"
            )
        return self


def _split(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


class CorsSettings(Section):
    origins: Annotated[tuple[Annotated[str, AfterValidator(check_origin)], ...], BeforeValidator(_split)] = ()


class RedisSettings(Section):
    url: Annotated[SecretStr, AfterValidator(check_redis_url)] | None = None


class FilesSettings(Section):
    dir: Path = Path("var/files")


class JobsSettings(Section):
    url: Annotated[SecretStr, AfterValidator(check_broker_url)] | None = None
    done_retention_seconds: int = Field(default=7 * 86_400, ge=0)
    dead_retention_seconds: int = Field(default=90 * 86_400, ge=0)


class JwtSettings(Section):
    secret: SecretStr | None = None
    previous_secrets: Annotated[tuple[SecretStr, ...], BeforeValidator(_split)] = ()
    key_files: Annotated[tuple[FilePath, ...], BeforeValidator(_split)] = ()
    access_ttl_seconds: int = Field(default=900, ge=30, le=900)
    refresh_ttl_seconds: int = Field(default=30 * 24 * 3600, ge=60)
    idle_ttl_seconds: int = Field(default=14 * 24 * 3600, ge=60)


def _provider(value: SecretStr) -> SecretStr:
    check_installed("joserfc", "auth")
    name, _, url = value.get_secret_value().partition("=")
    address = re.sub(r"^(https?://)[^:/?#@\s]+:[^/?#@\s]+@", r"\1", url)
    if (
        not re.fullmatch(r"[a-z0-9-]{1,40}", name)
        or address == url
        or not re.match(rf"(https://[^/]|{LOOPBACK}(/|$))", address)
    ):
        raise ValueError(
            "must be name=https://client-id:client-secret@host, as google=https://id:secret@accounts.google.com;"
            " percent-encode the characters of id and secret other than letters, digits and -._~"
        )
    return value


class OauthSettings(Section):
    providers: Annotated[tuple[Annotated[SecretStr, AfterValidator(_provider)], ...], BeforeValidator(_split)] = ()


class GraphqlSettings(Section):
    documents: Literal["auto", "trusted", "any"] = "auto"
    introspection: Literal["auto", "on", "off"] = "auto"


class GrpcSettings(Section):
    port: int | None = Field(default=None, ge=1, le=65_535)
    reflection: Literal["auto", "on", "off"] = "auto"
    tls_certificate_file: FilePath | None = None
    tls_key_file: FilePath | None = None

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("GRPC_TLS_CERTIFICATE_FILE and GRPC_TLS_KEY_FILE belong together: set both, or none")
        return self


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty"] = "auto"


class SecuritySettings(Section):
    contact: Annotated[str, AfterValidator(check_contact)] | None = None


class SmtpSettings(Section):
    url: Annotated[SecretStr, AfterValidator(check_smtp_url)] | None = None


class MailSettings(Section):
    sender: Annotated[str, AfterValidator(mailbox)] = Field(default="no-reply@localhost", validation_alias="from")


class MetricsSettings(Section):
    dir: DirectoryPath | None = None


class RateLimitSettings(Section):
    """A rate is a number of requests and a number of seconds."""

    reads: Annotated[tuple[int, int], BeforeValidator(parse_rate)] = (1_200, 60)
    writes: Annotated[tuple[int, int], BeforeValidator(parse_rate)] = (300, 60)
    scale: float = Field(default=1.0, ge=0, le=1_000_000, allow_inf_nan=False)


Pairs = Annotated[SecretStr, AfterValidator(check_pairs)]


class OtelSettings(Section):
    """The standard variables of OpenTelemetry. Values of pairs are percent-encoded."""

    exporter_otlp_endpoint: Annotated[str, AfterValidator(check_otlp_url)] | None = None
    exporter_otlp_traces_endpoint: Annotated[str, AfterValidator(check_otlp_url)] | None = None
    exporter_otlp_headers: Pairs = SecretStr("")
    exporter_otlp_traces_headers: Pairs = SecretStr("")
    exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    exporter_otlp_traces_protocol: Literal["http/protobuf"] = "http/protobuf"
    service_name: str | None = None
    resource_attributes: Pairs = SecretStr("")
    traces_sampler: Literal["traceidratio", "parentbased_traceidratio"] = "traceidratio"
    traces_sampler_arg: float = Field(default=0.01, ge=0, le=1, allow_inf_nan=False)

    @property
    def traces_url(self) -> str | None:
        """The URL that traces are sent to."""
        base = self.exporter_otlp_endpoint
        return self.exporter_otlp_traces_endpoint or (f"{base.rstrip('/')}/v1/traces" if base is not None else None)

    @staticmethod
    def pairs(value: SecretStr) -> dict[str, str]:
        found = (pair.strip().partition("=") for pair in value.get_secret_value().split(",") if pair.strip())
        return {name: unquote(text) for name, _, text in found}


class TraceSettings(Section):
    slow_seconds: float = Field(default=0.5, gt=0, le=600, allow_inf_nan=False)


class RequestSettings(Section):
    max_bytes: int = Field(default=1_048_576, ge=1_024)
    timeout_seconds: float = Field(default=5.0, ge=0.5, le=60)


class Settings(Section):
    """The settings of the kit. An application adds sections in a subclass."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65_535)
    workers: Annotated[int, BeforeValidator(lambda value: min(available_cpus(), 256) if value == "auto" else value)] = (
        Field(default=2, ge=1, le=256)
    )
    drain_seconds: float = Field(default=1.0, ge=0, le=600)
    keepalive_seconds: int = Field(default=10, ge=1, le=3_600)
    trusted_hops: int = Field(default=0, ge=0, le=10)
    cache: Literal["on", "bounded", "off"] = "on"
    cache_bytes: int = Field(default=64 * 2**20, ge=2**20)
    ops: Literal["auto", "on", "off"] = "auto"
    runtime_dir: Path | None = None
    app: AppSettings = AppSettings()
    cors: CorsSettings = CorsSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    files: FilesSettings = FilesSettings()
    graphql: GraphqlSettings = GraphqlSettings()
    grpc: GrpcSettings = GrpcSettings()
    jobs: JobsSettings = JobsSettings()
    jwt: JwtSettings = JwtSettings()
    log: LogSettings = LogSettings()
    mail: MailSettings = MailSettings()
    metrics: MetricsSettings = MetricsSettings()
    oauth: OauthSettings = OauthSettings()
    otel: OtelSettings = OtelSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    request: RequestSettings = RequestSettings()
    security: SecuritySettings = SecuritySettings()
    smtp: SmtpSettings = SmtpSettings()
    trace: TraceSettings = TraceSettings()

    @classmethod
    def load(cls, env: Mapping[str, str], *, env_file: Path | None = None, secrets_dir: Path | None = None) -> Self:
        """Read the settings. ``env`` overrides ``env_file``, which overrides ``secrets_dir`` (one file per setting).

        Empty values count as unset. Raises ConfigurationError with all errors, without values.
        """
        known = {"_".join(path).upper(): path for path in cls.paths()}
        sources, errors = read_sources(env, env_file, secrets_dir, known)
        if errors:
            raise ConfigurationError(errors)
        values = {name: value for source in sources for name, value in source.values.items()}
        names = {variable: path for variable, path in known.items() if variable in values}
        tree: dict[str, object] = {}
        for variable, path in names.items():
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})  # type: ignore[assignment]  # inner nodes are always dicts
            node[path[-1]] = values[variable]
        faults = []
        settings = None
        try:
            settings = cls.model_validate(tree)
        except ValidationError as error:
            faults = faults_of(error)
        if values.get("APP_ENV") == "production":
            faults += cls.production_faults(values)
        if settings is None or faults:
            raise ConfigurationError(faults)
        return settings

    @classmethod
    def paths(cls) -> Iterable[tuple[str, ...]]:
        """The path of every setting: ``("database", "url")`` is read from ``DATABASE_URL``."""
        for name, field in cls.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from ((name, str(one.validation_alias or inner)) for inner, one in kind.model_fields.items())
            else:
                yield (name,)

    @classmethod
    def production_faults(cls, values: Mapping[str, str]) -> list[str]:
        """The settings that production requires and that are missing or weak, one line each."""
        required = {
            "APP_URL": "the public URL: https://shop.example.com",
            "DATABASE_URL": "postgresql://user:password@host/name, or a file: sqlite:////srv/shop.db",
            "SMTP_URL": "smtps://user:password@host:465, or folder:var/mail to write files and send nothing",
        }
        if values.get("SMTP_URL", "").startswith("smtp"):
            required["MAIL_FROM"] = "Shop <shop@example.com>"
        faults = [f"{name}: required in production; {form}" for name, form in required.items() if not values.get(name)]
        secret = values.get("JWT_SECRET", "")
        advice = "generate one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        if not secret:
            faults.append(f"JWT_SECRET: required in production; {advice}")
        elif is_weak_secret(secret):
            faults.append(f"JWT_SECRET: too weak (at least {SECRET_MIN_BYTES} random bytes); {advice}")
        return faults

    def fallbacks(self) -> dict[str, str]:
        """The services that are replaced by a local fallback.

        Production accepts a fallback only if it is set explicitly.
        """
        smtp = self.smtp.url.get_secret_value() if self.smtp.url is not None else _DEFAULT_MAIL
        return {"mail": f"files in {smtp.removeprefix('folder:')}, not sent"} if smtp.startswith("folder:") else {}

    def folders(self) -> dict[str, Path]:
        """The folders that the application writes to, by the name of their setting."""
        smtp = self.smtp.url.get_secret_value() if self.smtp.url is not None else _DEFAULT_MAIL
        mail = {"SMTP_URL": Path(smtp.removeprefix("folder:"))} if smtp.startswith("folder:") else {}
        metrics = {"METRICS_DIR": self.metrics.dir} if self.metrics.dir is not None else {}
        return {"FILES_DIR": self.files.dir, **mail, **metrics}

    def services(self) -> dict[str, str]:
        """The services that are not checked at startup, for the startup report."""
        smtp = self.smtp.url.get_secret_value() if self.smtp.url is not None else ""
        named = {
            "mail": f"SMTP at {smtp.partition('://')[2].rpartition('@')[2]}",
            "files": str(self.files.dir),
            "url": self.public_url,
        }
        return named | self.fallbacks()

    @property
    def public_url(self) -> str:
        """The URL at which clients reach the application."""
        return self.app.url or f"http://localhost:{self.port}"

    @property
    def in_production(self) -> bool:
        return self.app.env == "production"

    @property
    def has_free_documents(self) -> bool:
        """Whether clients of GraphQL may send any document."""
        return self.graphql.documents == "any" or (self.graphql.documents == "auto" and not self.in_production)

    @property
    def has_introspection(self) -> bool:
        """Whether clients of GraphQL may ask for the schema."""
        return self.graphql.introspection == "on" or (self.graphql.introspection == "auto" and not self.in_production)

    @property
    def has_reflection(self) -> bool:
        """Whether clients of gRPC may ask for the schema."""
        return self.grpc.reflection == "on" or (self.grpc.reflection == "auto" and not self.in_production)

    @property
    def has_operations_page(self) -> bool:
        return self.ops == "on" or (self.ops == "auto" and not self.in_production)
