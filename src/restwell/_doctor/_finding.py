"""What a check reads, and what it finds."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal

from msgspec import Struct

from restwell._application import App
from restwell.database import Database
from restwell.errors import ConfigurationError
from restwell.settings import Settings

Level = Literal["error", "warning", "hint"]


class Finding(Struct, frozen=True):
    """``error``: it does not work. ``warning``: it will fail or is unsafe. ``hint``: it could be better.

    ``place`` is a setting, a table or a route. ``message`` is one or two sentences with the cure, and has no secret.
    """

    level: Level
    place: str
    message: str


class Subject(Struct, frozen=True):
    """``values`` are the settings that are set, as text. ``app`` and ``database`` are None if they do not start."""

    name: str
    settings: Settings
    values: Mapping[str, str]
    app: App | None
    database: Database | None

    @property
    def redis_urls(self) -> dict[str, str]:
        """The settings that name a Redis server."""
        urls = {"REDIS_URL": self.settings.redis.url, "JOBS_URL": self.settings.jobs.url}
        found = {name: url.get_secret_value() for name, url in urls.items() if url is not None}
        return {name: url for name, url in found.items() if not url.startswith("amqp")}


_place = re.compile(r"([A-Z][A-Z_]+|/[^\s:]+|[^\s:]+\.\w+(?:, line \d+)?): ").match

Check = Callable[[Subject], AsyncIterator[Finding]]


def findings_of(error: ConfigurationError, place: str = "application") -> list[Finding]:
    """A finding for each fault. It begins with its place, if that is a setting or a file; otherwise ``place`` is."""
    named = ((_place(fault), fault) for fault in error.faults)
    return [
        Finding("error", found[1], sentence(fault[found.end() :]))
        if found
        else Finding("error", place, sentence(fault))
        for found, fault in named
    ]


def sentence(text: str) -> str:
    """The text with a full stop, and without a line break."""
    return f"{' '.join(text.split()).rstrip('.')}."
