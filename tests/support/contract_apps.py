"""Applications for the contract tests."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from restwell import App
from restwell.database import Database, open_database

MARK: Final = "0 x 5xx, 0 schema violations, 100% problem+json; 95% of operations succeed"


def variables(folder: Path) -> dict[str, str]:
    """The settings of an application with a database in the folder, and without rate limits."""
    return {
        "DATABASE_URL": f"sqlite:///{folder}/app.db",
        "JWT_SECRET": "a secret for tests, which is long enough to be one",
        "RUNTIME_DIR": str(folder),
        "RATE_LIMIT_SCALE": "0",
        "REQUEST_TIMEOUT_SECONDS": "30",  # for a busy machine
    }


async def migrate(app: App, seed: Callable[[Database], Awaitable[object]] | None = None) -> None:
    async with open_database(app.kit.settings.database.url.get_secret_value()) as database:
        await app.migrations.upgrade(database)
        if seed is not None:
            await seed(database)
