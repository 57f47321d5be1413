"""Structured logs on standard output: one JSON object a line, or coloured text on a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import msgspec
import structlog

from restwell.settings import LogSettings

_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


def configure_logs(settings: LogSettings) -> None:
    """Send this process's logs, those of libraries included, to standard output. Tracebacks never hold local values."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    pretty = settings.format == "pretty" or (settings.format == "auto" and sys.stdout.isatty())
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
    return _encode(event).decode()
