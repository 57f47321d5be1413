"""Applications for the contract tests."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from restwell import App
from restwell.database import Database, open_database
from restwell.testing import ContractReport
from scoreboard import Score

MARK: Final = "0 x 5xx, 0 schema violations, 100% problem+json; >= 95% of operations answered 2xx"
MIN_SHARE: Final = 0.95
"""Of the operations: they were answered 2xx at least once."""


def variables(folder: Path) -> dict[str, str]:
    """The settings of an application with a database in the folder, and without rate limits."""
    return {
        "DATABASE_URL": f"sqlite:///{folder}/app.db",
        "JWT_SECRET": "a secret for tests, which is long enough to be one",
        "RUNTIME_DIR": str(folder),
        "RATE_LIMIT_SCALE": "0",
        "REQUEST_TIMEOUT_SECONDS": "30",  # for a busy machine
    }


def assert_most_succeed(app: App, report: ContractReport, score: Score) -> None:
    """Note how many operations of each version were answered 2xx at least once."""
    for version, document in app.documents.items():
        operations = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
        failed = [one for one in operations if not any(200 <= status < 300 for status in report.responses[one])]
        score.note(f"{len(operations) - len(failed)} of {len(operations)} operations of {version} answered 2xx")
        assert len(failed) <= len(operations) * (1 - MIN_SHARE), failed


async def migrate(app: App, seed: Callable[[Database], Awaitable[object]] | None = None) -> None:
    async with open_database(app.kit.settings.database.url.get_secret_value()) as database:
        await app.migrations.upgrade(database)
        if seed is not None:
            await seed(database)
