"""Tables on standard output."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from restwell._terminal import printable


def print_table(table: Table, width: int = 200) -> None:
    """Print the texts as they are: no markup, emoji code or control character acts. ``width``: without a terminal."""
    _Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False).print(table)


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)
