"""The environment of commands that run the application of the tests of accounts."""

from servers import ROOT, SUPPORT, restwell


def accounts_environment(url: str, **more: str) -> dict[str, str]:
    """Migrates the database and adds the users."""
    environment = {
        "RESTWELL_APP": "accounts_app:accounts",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": url,
        "JWT_SECRET": "a secret for tests, which is long enough to be one",
        **more,
    }
    for command in ("migrate", "seed"):
        restwell(command, cwd=ROOT, **environment).check_returncode()
    return environment
