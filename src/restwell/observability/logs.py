"""Structured logs on standard output: one JSON object a line, or coloured text on a terminal."""

import asyncio
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from restwell.settings import LogSettings

FLUSH_SECONDS: Final = 0.1
QUIET: Final = ("aiormq",)
"""Libraries that log each failed attempt; whoever uses them says once what it means."""

_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


class LineWriter:
    """Writes lines many at a time, at most FLUSH_SECONDS after they came: a system call for each would cost more than they do."""

    def __init__(self) -> None:
        self._lines: list[Struct] = []

    def write(self, line: Struct) -> None:
        """Write it as JSON, in the order of its fields. Needs the running event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._lines.append(line)

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        sys.stdout.write(_encoder.encode_lines(lines).decode())
        sys.stdout.flush()


def line_writer(settings: LogSettings) -> LineWriter | None:
    """Where each request's line goes; None where that is for people, or not logged at all."""
    return LineWriter() if settings.level in {"debug", "info"} and not _is_pretty(settings) else None


def configure_logs(settings: LogSettings) -> None:
    """Send this process's logs, those of libraries included, to standard output. Tracebacks never hold local values."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    pretty = _is_pretty(settings)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[structlog.typing.Processor]
    if pretty:
        traceback = structlog.dev.RichTracebackFormatter(show_locals=False)
        renderers = [structlog.dev.ConsoleRenderer(exception_formatter=traceback)]
    else:
        renderers = [structlog.processors.format_exc_info, _render_json]
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return _encoder.encode(event).decode()


def _is_pretty(settings: LogSettings) -> bool:
    return settings.format == "pretty" or (settings.format == "auto" and sys.stdout.isatty())
