"""``restwell api usage``: who calls which version, and who still calls what is deprecated."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table

from restwell._cli.cache import read_metrics
from restwell._cli.tables import print_table

OTHERS: Final = "others"


def usage() -> None:
    """Show who calls which version and what is deprecated: the requests to the server since it started."""
    from restwell._project import find_project
    from restwell.edge._usage_report import PREFIXES, usage_report

    families = read_metrics(find_project().load_settings(), PREFIXES)
    report = usage_report(
        {
            family.name: [(each.labels, each.value) for each in family.samples if not each.name.endswith("_created")]
            for family in families
        }
    )
    _print(
        ("version", "client", "requests"),
        [(each.version or OTHERS, each.client, f"{each.requests:,.0f}") for each in report.versions],
    )
    if not report.deprecations:
        print("nothing is deprecated")
        return
    _print(
        ("deprecated", "since", "sunset", "successor", "guide"),
        [
            (f"{each.method} {each.route}".strip(), each.deprecated, each.sunset, each.successor, each.guide)
            for each in report.deprecations
        ],
    )
    _print(
        ("method", "route", "client", "requests"),
        [(each.method, each.route or OTHERS, each.client, f"{each.requests:,.0f}") for each in report.callers],
    )
    print(f"{sum(each.requests for each in report.callers):,.0f} requests for deprecated routes")


def _print(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    if table.rows:
        print_table(table, 160)
        print()
