"""An application that needs no extra, as someone's first: a cached route with a rate limit, and a job."""

from pathlib import Path

from restwell import App, Project, Restwell
from restwell.cache import Cache
from restwell.database import Database
from restwell.jobs import JobContext, Jobs, job
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import Controller, Feature, Version, get, post


@job()
async def write_greeting(_context: JobContext, name: str) -> None:
    Path("greeting.txt").write_text(f"hello {name}")  # nothing else runs


async def load_greeting() -> str:
    return "hello"


class GreetingController(Controller):
    path = "/greetings"

    @get("/{name}", rate_limit=Rate("greetings", 100, seconds=60))
    async def greet(self, name: str, cache: Cache) -> str:
        """Greet."""
        greeting = await cache.get_or_load("greeting", load_greeting, kind=str, tags=["greetings"], ttl_seconds=60)
        return f"{greeting} {name}"

    @post("/{name}", status_code=202)
    async def greet_later(self, name: str, database: Database, jobs: Jobs) -> None:
        """Greet in a file."""
        await jobs.enqueue(database, write_greeting, name)


def create_app(settings: Settings) -> App:
    kit = Restwell(settings, name="core")
    feature = Feature(controllers=[GreetingController], jobs=[write_greeting])
    return kit.app([Version("/v1", [feature])], description="Greetings.")


project = Project(name="core", settings=Settings, create_app=create_app)
