"""Tables on standard output."""

import sys

from rich.console import Console
from rich.table import Table


def print_table(table: Table, width: int = 200) -> None:
    """Print the texts as they are: neither markup nor codes of emoji have a meaning. ``width``: without a terminal."""
    Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False).print(table)
