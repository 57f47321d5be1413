"""Checks of the values of settings. Each returns the value, or raises ValueError with what it must be."""

import re
from typing import Final
from urllib.parse import unquote

from pydantic import SecretStr, ValidationError

from restwell._email_addresses import EmailAddress
from restwell._extras import check_installed

SECRET_MIN_BYTES: Final = 32
"""RFC 7518 3.2: an HS256 key has at least the size of the hash, 256 bits."""


def is_weak_secret(secret: str) -> bool:
    return len(secret.encode(errors="replace")) < SECRET_MIN_BYTES or len(set(secret)) < SECRET_MIN_BYTES // 3


def check_smtp_url(value: SecretStr) -> SecretStr:
    if not re.match(r"(smtps?|smtp\+plain)://[^/]|folder:.", value.get_secret_value()):
        raise ValueError(
            "must be smtps://user:password@host:465, smtp://user:password@host:587 (STARTTLS), smtp+plain://host:25,"
            " or folder:var/mail to write files and send nothing"
        )
    if value.get_secret_value().startswith("smtp"):
        check_installed("aiosmtplib", "mail")
    return value


def check_redis_url(value: SecretStr) -> SecretStr:
    if not re.match(r"(rediss?(\+sentinel|\+cluster)?|unix)://", value.get_secret_value()):
        raise ValueError("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    check_installed("redis", "redis")
    return value


def check_broker_url(value: SecretStr) -> SecretStr:
    if not re.match(r"(rediss?(\+sentinel|\+cluster)?|unix|amqps?)://", value.get_secret_value()):
        raise ValueError(
            "must begin with amqp:// or redis:// (or another scheme of REDIS_URL); unset, the database notifies workers"
        )
    check_installed(*(("aio_pika", "rabbitmq") if value.get_secret_value().startswith("amqp") else ("redis", "redis")))
    return value


def check_contact(value: str) -> str:
    message = "must be a URI (RFC 9116): mailto:security@example.com or https://example.com/security"
    if not re.fullmatch(r"(mailto:|https://|tel:)[!-~]+", value):
        raise ValueError(message)
    if value.startswith("mailto:"):
        check_installed("email_validator", "mail")
        try:
            EmailAddress.parse(unquote(value.removeprefix("mailto:").partition("?")[0]))
        except ValueError as error:
            raise ValueError(f"{message}. {error}") from error
    return value


def check_otlp_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", value):
        raise ValueError("must be https://otlp.example.com, without credentials: use OTEL_EXPORTER_OTLP_HEADERS")
    check_installed("opentelemetry", "otel")
    return value


def check_pairs(value: SecretStr) -> SecretStr:
    for pair in value.get_secret_value().split(","):
        name, _, text = pair.strip().partition("=")
        if pair.strip() and not (re.fullmatch(r"[A-Za-z0-9._-]+", name) and text.isprintable() and text):
            raise ValueError("must be name=value pairs, separated by commas; percent-encode commas and non-ASCII")
    return value


def faults_of(error: ValidationError) -> list[str]:
    found = {fault_place(each["loc"]): each["msg"] for each in error.errors()}
    return [f"{place}: {fault_text(message)}" for place, message in found.items()]


def fault_place(location: tuple[int | str, ...]) -> str:
    """The variable of a fault, and which one of its values."""
    variable = "_".join(part for part in location if isinstance(part, str)).upper()
    return variable + "".join(f": value {part + 1}" for part in location if isinstance(part, int))


def fault_text(message: str) -> str:
    hint = "; create it, or correct the path" if message.startswith("Path does not") else ""
    return f"{message.removeprefix('Value error, ')}{hint}"


def parse_rate(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[1-9]\d{0,6}/[1-9]\d{0,4}", value):
        raise ValueError("must be a number of requests and a number of seconds: 1200/60")
    count, _, seconds = value.partition("/")
    return int(count), int(seconds)


def check_origin(value: str) -> str:
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", value):
        raise ValueError(
            "must be an origin as in the Origin header, https://app.example.com, in lower case and without a path"
        )
    return value
