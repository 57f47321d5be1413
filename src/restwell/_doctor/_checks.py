"""All checks, and how they are run: at the same time, each for a limited time."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from restwell._application import App
from restwell._doctor import _clock, _database, _http, _machine, _redis, _schema, _services, _settings
from restwell._doctor._finding import Check, Finding, Subject, findings_of, sentence
from restwell._project import Project, setting_sources
from restwell.database import Database, open_database
from restwell.errors import AppError, ConfigurationError
from restwell.settings import Settings

CHECK_SECONDS: Final = 10.0
"""The longest time of a check. A server that does not answer delays no other check."""
CHECKS: Final[tuple[Check, ...]] = (
    _settings.check_names,
    _settings.check_secrets,
    _settings.check_production,
    _database.check_server,
    _schema.check_migrations,
    _schema.check_indexes,
    _schema.check_queries,
    _schema.check_bloat,
    _redis.check_redis,
    _services.check_broker,
    _services.check_replicas,
    _services.check_mail,
    _clock.check_clock,
    _machine.check_folders_and_disk,
    _machine.check_open_files,
    _machine.check_processors,
    _machine.check_memory,
    _http.check_proxies,
    _http.check_cors,
    _http.check_guards,
    _http.check_repeated_queries,
)
_ORDER: Final = ("error", "warning", "hint")


async def examine(project: Project, create_app: Callable[[Project, Settings], App]) -> list[Finding]:
    """Run every check that its settings allow. Returns the findings, the worst first."""
    try:
        settings = project.load_settings()
    except ConfigurationError as error:
        return findings_of(error)
    values = {name: value for source in setting_sources(project) for name, value in source.values.items()}
    findings: list[Finding] = []
    async with AsyncExitStack() as stack:
        app = _created(lambda: create_app(project, settings), findings)
        database = await _open_database(settings, stack, findings)
        subject = Subject(project.name, settings, values, app, database)
        for found in await asyncio.gather(*(_run(check, subject) for check in CHECKS)):
            findings += found
    unique = list(dict.fromkeys(findings))
    return sorted(unique, key=lambda finding: _ORDER.index(finding.level))


def _created(create: Callable[[], App], findings: list[Finding]) -> App | None:
    try:
        return create()
    except ConfigurationError as error:
        findings += findings_of(error)
    return None


async def _open_database(settings: Settings, stack: AsyncExitStack, findings: list[Finding]) -> Database | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            database = open_database(settings.database.url.get_secret_value(), 1)
            return await stack.enter_async_context(database)
    except ConfigurationError as error:
        findings += findings_of(error)
    except AppError as error:
        findings.append(Finding("error", "DATABASE_URL", f"{sentence(error.detail)} Start the server, or correct it."))
    except TimeoutError:
        findings.append(Finding("error", "DATABASE_URL", _too_slow("the database")))
    return None


async def _run(check: Check, subject: Subject) -> list[Finding]:
    name = check.__name__.removeprefix("check_").replace("_", " ")
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            async for finding in check(subject):
                findings.append(finding)  # noqa: PERF401  # an exception loses none
    except TimeoutError:
        findings.append(Finding("warning", name, _too_slow("it")))
    except ConfigurationError as error:
        findings += findings_of(error)
    except AppError as error:
        findings.append(Finding("warning", name, f"not checked: {error.detail}"))
    except Exception as error:  # noqa: BLE001  # the other checks go on; its text may have a secret
        findings.append(
            Finding("warning", name, f"not checked: {type(error).__name__}. The log of the server may say why.")
        )
    return findings


def _too_slow(what: str) -> str:
    return f"{what} gave no answer in {CHECK_SECONDS:.0f} s. Look for an overloaded server or a broken network."
