"""Structured logs on standard output: one JSON object a line, or coloured text on a terminal.

Logging never raises into who logs, and never makes it wait (``log_output.py``). What libraries log, warnings, and what ends a thread are
lines like all others.
"""

import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from msgspec import Struct

from restwell.observability.log_output import output, to_json
from restwell.settings import LogSettings

QUIET: Final = ("aiormq",)
"""Libraries that log each failed attempt; whoever uses them says once what it means."""

_configured: LogSettings | None = None

log = structlog.get_logger("restwell.logs")


class JsonLogWriter:
    """Writes lines as JSON, in the order of their fields, many at a time."""

    @staticmethod
    def write(line: Struct) -> None:
        output.write(line)


class _Logger:
    """What structlog gives its lines to."""

    def msg(self, line: str) -> None:
        output.write_text(line)

    debug = info = warning = error = critical = msg


class _Handler(logging.Handler):
    """What the standard library gives its lines to."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  # arguments that do not fit the message, a value without a text
            log.error(  # noqa: TRY400  # where it was raised is in this module
                "log_line_not_rendered", logger=record.name, message=record.msg, cause=repr(error)
            )
        else:
            output.write_text(line)


def json_log_writer(settings: LogSettings) -> JsonLogWriter | None:
    """Where each request's line goes; None where that is for people, or not logged at all."""
    return JsonLogWriter() if settings.level in {"debug", "info"} and not _is_pretty(settings) else None


def configure_logs(settings: LogSettings) -> None:
    """Send this process's logs, those of libraries included, to standard output. Tracebacks never hold local values."""
    global _configured  # noqa: PLW0603  # logs are the process's, as standard output is
    _configured = settings
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _Render(pretty=_is_pretty(settings))
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Logger(),
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(True)  # noqa: FBT003  # the standard library's own
    threading.excepthook = _thread_failed
    sys.unraisablehook = _exception_ignored


def log_settings() -> LogSettings | None:
    """How this process logs, for those that it starts."""
    return _configured


@contextmanager
def log_fatal_errors() -> Iterator[None]:
    """Around what a process does: what ends it is a line of its log, and its exit code is 1.

    The interpreter would write it to standard error itself, and wait for ever where nobody reads that.
    """
    try:
        yield
    except Exception as error:
        log.critical("process_failed", exc_info=error)
        raise SystemExit(1) from error


class _Render:
    """The last processor: the line's text, whatever its values are."""

    def __init__(self, *, pretty: bool) -> None:
        self._renderers: list[structlog.typing.Processor]
        if pretty:
            traceback = structlog.dev.RichTracebackFormatter(show_locals=False)
            self._renderers = [structlog.dev.ConsoleRenderer(exception_formatter=traceback)]
        else:
            self._renderers = [structlog.processors.format_exc_info, _render_json]

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        values = {**event}
        rendered: Any = event
        try:
            for renderer in self._renderers:
                rendered = renderer(logger, method, rendered)
        except Exception:  # noqa: BLE001  # a value may be of any class, and its text may raise anything
            return to_json(values).decode()
        return str(rendered)


def _render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return to_json(event).decode()


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit:
        name = failed.thread.name if failed.thread is not None else ""
        log.error("thread_failed", thread=name, exc_info=failed.exc_value)


def _exception_ignored(ignored: "sys.UnraisableHookArgs") -> None:
    log.error("exception_ignored", where=ignored.object, message=ignored.err_msg, exc_info=ignored.exc_value)


def _is_pretty(settings: LogSettings) -> bool:
    return settings.format == "pretty" or (settings.format == "auto" and _is_terminal())


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # there is none where it was closed before the start
