"""The broker, the mail server and the replicas: whether they answer, and accept the user and the password."""

from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

from restwell import _startup as startup
from restwell._doctor._finding import Finding, Subject, findings_of
from restwell._startup import StartupReport
from restwell.errors import ConfigurationError


async def check_broker(subject: Subject) -> AsyncIterator[Finding]:
    url = subject.settings.jobs.url.get_secret_value() if subject.settings.jobs.url is not None else ""
    if not url.startswith("amqp"):
        return  # a Redis is checked with the others
    try:
        unreachable = await startup.probe_rabbit(url, subject.name)
    except ValueError as error:
        yield Finding("error", "JOBS_URL", f"{error}. Correct them in the URL, or create them with rabbitmqctl.")
        return
    if unreachable is not None:
        yield Finding(
            "warning",
            "JOBS_URL",
            f"RabbitMQ does not answer ({unreachable}), so the database notifies workers. Start it, or correct"
            " the URL.",
        )


async def check_replicas(subject: Subject) -> AsyncIterator[Finding]:
    for number, url in enumerate(subject.settings.database.replica_urls, start=1):
        report, faults = StartupReport({}, []), list[str]()
        await startup.check_replica(report, faults, f"replica {number}", url.get_secret_value())
        for finding in findings_of(ConfigurationError(faults)):
            yield finding
        for service in report.degraded:
            yield Finding(
                "warning",
                "DATABASE_REPLICA_URLS",
                f"{service}: {report.services[service]}. Start it, or remove it from the setting.",
            )


async def check_mail(subject: Subject) -> AsyncIterator[Finding]:
    smtp = subject.settings.smtp.url.get_secret_value() if subject.settings.smtp.url is not None else ""
    if not smtp.startswith("smtp"):
        return
    url = urlsplit(smtp)
    is_local = url.hostname in {"localhost", "127.0.0.1", "::1"}
    if url.scheme == "smtp+plain" and not is_local:
        yield Finding(
            "warning", "SMTP_URL", "mails and their links cross the network unencrypted. Use smtps:// or smtp://."
        )
    if url.scheme != "smtp+plain" and not (url.username and url.password):
        yield Finding("warning", "SMTP_URL", "it has no user and password, which most servers require. Add them.")
    refused = await _log_in(smtp)
    if refused is not None:
        yield Finding(
            "error",
            "SMTP_URL",
            f"the mail server at {url.hostname} does not accept mails: {refused}."
            " Correct the host, the port, the user or the password.",
        )


async def _log_in(smtp: str) -> str | None:
    """Connect as for a mail, and send none. Returns what fails."""
    import aiosmtplib  # noqa: PLC0415  # loaded only if it is used

    url = urlsplit(smtp)
    client = aiosmtplib.SMTP(
        hostname=url.hostname,
        port=url.port or {"smtps": 465, "smtp": 587}.get(url.scheme, 25),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        use_tls=url.scheme == "smtps",
        start_tls=url.scheme == "smtp",
        timeout=startup.PROBE_SECONDS,
    )
    try:
        async with client:
            return None
    except aiosmtplib.SMTPResponseException as error:
        return f"it answers {error.code} {error.message.partition(chr(10))[0]}"
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        return str(error).partition("\n")[0] or type(error).__name__
