"""An application that needs no extra, as someone's first: a cached route with a rate limit, and a job."""

from pathlib import Path

from restwell import App, Project, Restwell
from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database
from restwell.errors import Unauthorized
from restwell.jobs import JobContext, Jobs, job
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import Controller, FromPath, Version, get, post


@job()
async def write_greeting(_context: JobContext, name: str) -> None:
    Path("greeting.txt").write_text(f"hello {name}")  # nothing else runs


async def load_greeting() -> str:
    return "hello"


class GreetingController(Controller):
    path = "/greetings"
    cache: Cache
    database: Database
    jobs: Jobs

    @get("/{name:str}", rate_limit=Rate("greetings", 100, seconds=60))
    async def greet(self, name: FromPath[str]) -> str:
        """Greet."""
        greeting = await self.cache.get_or_load("greeting", load_greeting, kind=str, tags=["greetings"], ttl_seconds=60)
        return f"{greeting} {name}"

    @post("/{name:str}", status_code=202)
    async def greet_later(self, name: FromPath[str]) -> None:
        """Greet in a file."""
        await self.jobs.enqueue(self.database, write_greeting, name)


async def authenticate(_token: str) -> Actor:
    raise Unauthorized


def create_app(settings: Settings) -> App:
    kit = Restwell(settings, name="core")
    return kit.app(
        version="1.0.0",
        description="Greetings.",
        versions=[Version("/v1", [GreetingController])],
        provide=[kit.cache, kit.database],
        authenticate=authenticate,
        jobs=[write_greeting],
    )


project = Project(name="core", settings=Settings, create_app=create_app)
