"""Structured logs on standard output: one JSON object per line, or coloured text on a terminal.

Logging never raises and never blocks (``log_output.py``). Log records of libraries, warnings, and unhandled exceptions
of threads are log lines too.
"""

import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, Literal

import structlog
from msgspec import Struct

from restwell._terminal import printable_in_colors
from restwell.observability._log_output import output, to_json
from restwell.observability._trace import add_ids
from restwell.settings import LogSettings

SILENCED_LOGGERS: Final = ("aiormq",)
"""Libraries that log each failed attempt. The code that uses them logs the failure once."""

_current_settings: LogSettings | None = None

log = structlog.get_logger("restwell.logs")


class JsonLogWriter:
    """Writes Structs as JSON lines, in batches."""

    @staticmethod
    def write(line: Struct) -> None:
        output.write(line)


class _StructlogSink:
    """The sink of structlog."""

    def msg(self, line: str) -> None:
        output.write_text(line)

    debug = info = warning = error = critical = msg


class _StandardHandler(logging.Handler):
    """The sink of the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  # arguments do not match the message, or a value has no text
            log.error(  # noqa: TRY400  # the traceback would show this module only
                "log_render_failed", logger=record.name, message=record.msg, cause=repr(error)
            )
        else:
            output.write_text(line)


def json_log_writer(settings: LogSettings) -> JsonLogWriter | None:
    """The writer of access log lines; None if the format is not JSON, or the level is above info."""
    return JsonLogWriter() if settings.level in {"debug", "info"} and not _is_pretty(settings) else None


def configure_logs(settings: LogSettings, *, to: Literal["stdout", "stderr"] = "stdout") -> None:
    """Send the logs of this process and its libraries to a stream. Tracebacks contain no local variables."""
    global _current_settings  # noqa: PLW0603  # logging is global to the process
    _current_settings = settings
    output.stream = to
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _Renderer(pretty=_is_pretty(settings))
    for name in SILENCED_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _StructlogSink(),
        cache_logger_on_first_use=True,
    )
    handler = _StandardHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(True)  # noqa: FBT003  # signature of the standard library
    threading.excepthook = _log_thread_failure
    sys.unraisablehook = _log_unraisable


def log_settings() -> LogSettings | None:
    """The settings of the last ``configure_logs``, for child processes; None before it."""
    return _current_settings


@contextmanager
def log_fatal_errors() -> Iterator[None]:
    """Log an exception that ends the process as ``process_failed``, and exit with code 1.

    The interpreter would write it to standard error, and block if standard error is not read.
    """
    try:
        yield
    except Exception as error:
        log.critical("process_failed", exc_info=error)
        raise SystemExit(1) from error


class _Renderer:
    """The last structlog processor: renders the line. Never raises."""

    def __init__(self, *, pretty: bool) -> None:
        self._renderers: list[structlog.typing.Processor]
        if pretty:
            traceback = structlog.dev.RichTracebackFormatter(show_locals=False)
            self._renderers = [structlog.dev.ConsoleRenderer(exception_formatter=traceback), _make_printable]
        else:
            self._renderers = [structlog.processors.format_exc_info, _render_json]

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        values = {**event}
        rendered: Any = event
        try:
            for renderer in self._renderers:
                rendered = renderer(logger, method, rendered)
        except Exception:  # noqa: BLE001  # a value may be of any class, and its ``repr`` may raise
            return to_json(values).decode()
        return str(rendered)


def _make_printable(_logger: object, _method: str, line: Any) -> str:
    return printable_in_colors(line)


def _render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return to_json(event).decode()


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is not SystemExit:
        name = failure.thread.name if failure.thread is not None else ""
        log.error("thread_failed", thread=name, exc_info=failure.exc_value)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    log.error(
        "unraisable_exception", where=unraisable.object, message=unraisable.err_msg, exc_info=unraisable.exc_value
    )


def _is_pretty(settings: LogSettings) -> bool:
    return settings.format == "pretty" or (settings.format == "auto" and _is_terminal())


def _is_terminal() -> bool:
    stream = getattr(sys, output.stream)
    return stream is not None and stream.isatty()  # it is None if it was closed before the start
