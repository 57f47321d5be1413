"""``restwell cache``: statistics and invalidation of the cache."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import asyncio
from collections.abc import Iterable
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated, Final
from urllib.request import urlopen

import typer
from rich.table import Table

from restwell._cli.loading import create_app, load
from restwell._cli.tables import print_table
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

    from restwell._project import Project
    from restwell.settings import Settings

TIMEOUT_SECONDS: Final = 5
METRICS_BY_NAME: Final = ("hits", "shared_hits", "loads", "waits", "stale_prevented", "bypasses", "invalidations")
TOTAL_METRICS: Final = ("entries", "bytes", "evictions")

commands: Final = typer.Typer(no_args_is_help=True, help="Show cache statistics, or invalidate the cache.")


@commands.command()
def stats() -> None:
    """Show the cache statistics of the server at HOST and PORT since it started."""
    from restwell._project import find_project

    project = find_project()
    settings = project.load_settings()
    families = {
        family.name.removeprefix("restwell_cache_"): family for family in read_metrics(settings, "restwell_cache_")
    }
    columns = (*METRICS_BY_NAME, *TOTAL_METRICS)
    counts = {column: {s.labels.get("name", ""): s.value for s in _samples(families, column)} for column in columns}
    table = Table("name", *(column.replace("_", " ") for column in columns), "hit ratio", box=None)
    for name in sorted({name for column in counts.values() for name in column}):
        values = [counts[column].get(name, 0) for column in columns]
        requests = sum(values[:3]) + values[5]
        ratio = f"{(values[0] + values[1]) / requests:.1%}" if requests else ""
        table.add_row(name, *(f"{value:,.0f}" for value in values), ratio)
    print_table(table, 160)
    totals = [f"{sum(counts[column].values()):,.0f} {column}" for column in TOTAL_METRICS]
    workers = sum(sample.value for sample in _samples(families, "up"))
    print(f"{', '.join(totals)}; {workers:.0f} of {settings.workers} workers use it")


@commands.command()
def clear(
    tag: Annotated[
        list[str] | None, typer.Option(help="Invalidate only this tag, such as product:42. Repeatable.")
    ] = None,
) -> None:
    """Invalidate the cache in every process, for example after a manual change of the database or a restore."""
    project, settings = load()
    invalidate(project, settings, tag or ())
    print(f"invalidated: {', '.join(tag) if tag else 'everything'}")


def invalidate(project: Project, settings: Settings, tags: Iterable[str] = ()) -> None:
    """Invalidate the tags, or everything. Raises ConfigurationError if Redis is unreachable."""
    from restwell.cache._store import StoreUnavailable
    from restwell.observability._logs import configure_logs

    errors_only = settings.log.model_copy(update={"level": "error"})  # the command itself says what fails
    configure_logs(errors_only, to="stderr")

    async def run() -> None:
        kit = create_app(project, settings).kit
        await kit.start()
        try:
            await kit.cache.invalidate_now(*tags)
        except StoreUnavailable:
            raise ConfigurationError(["REDIS_URL: Redis is unreachable; nothing was invalidated"]) from None
        finally:
            await kit.close()

    asyncio.run(run())


def read_metrics(settings: Settings, prefix: str | tuple[str, ...]) -> list[Metric]:
    """The metrics of the server at HOST and PORT whose names begin so. Raises ConfigurationError without a response."""
    from prometheus_client.parser import text_string_to_metric_families

    address = f"http://{settings.host}:{settings.port}/metrics"
    try:
        with urlopen(address, timeout=TIMEOUT_SECONDS) as response:  # the scheme is constant
            families = list(text_string_to_metric_families(response.read().decode()))
    except (HTTPException, OSError, ValueError) as error:  # not HTTP, or no metrics
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(
            [f"no response from {address} ({reason}); start the server, or set HOST and PORT"]
        ) from None
    return [family for family in families if family.name.startswith(prefix)]


def _samples(families: dict[str, Metric], name: str) -> Iterable[Sample]:
    return families[name].samples if name in families else ()
