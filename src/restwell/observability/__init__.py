"""Logs, metrics and the event-loop watchdog, which the application builds. It has no public names."""

from typing import Final

import structlog

_TRACEBACKS: Final[tuple[object, ...]] = (structlog.dev.rich_traceback, structlog.dev.rich_monochrome_traceback)
"""What structlog prints tracebacks with until ``configure_logs``, and in applications with logs of their own."""

for each in _TRACEBACKS:
    if isinstance(each, structlog.dev.RichTracebackFormatter):
        each.show_locals = False  # a local variable may be a password

__all__: list[str] = []
