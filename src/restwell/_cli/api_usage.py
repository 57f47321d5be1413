"""``restwell api usage``: who still calls what is deprecated."""

import sys
from typing import Final

from rich.console import Console
from rich.table import Table

from restwell._cli.cache import read_metrics
from restwell._project import find_project

METRIC: Final = "restwell_deprecated_requests"


def usage() -> None:
    """Show who calls deprecated routes: the requests to the server at HOST and PORT since it started."""
    families = read_metrics(find_project().load_settings(), METRIC)
    if not families:
        print("nothing is deprecated")
        return
    samples = [each for family in families for each in family.samples if each.name == f"{METRIC}_total"]
    table = Table("method", "route", "client", "requests", box=None)
    for each in sorted(samples, key=lambda sample: (-sample.value, *sample.labels.values())):
        route = each.labels["route"] or "others"
        table.add_row(each.labels["method"], route, each.labels["client"], f"{each.value:,.0f}")
    if samples:
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    print(f"{sum(each.value for each in samples):,.0f} requests for deprecated routes")
