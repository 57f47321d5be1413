"""The environment of commands that run the tiny application."""

from servers import SUPPORT


def tiny_environment(url: str) -> dict[str, str]:
    return {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(SUPPORT), "DATABASE_URL": url}
