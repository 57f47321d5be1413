"""Logs: JSON lines or coloured text, and tracebacks without local variables."""

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from msgspec import Struct

from restwell._terminal import printable_in_colors
from restwell.observability._log_output import output
from restwell.observability._logs import JsonLogWriter, configure_logs
from restwell.settings import LogSettings


@pytest.fixture(autouse=True)
def restored_logging(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Restores the logging configuration of the process after each test. Discards what earlier tests logged."""
    output.flush()
    output._reported = output.dropped
    capsys.readouterr()
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    thread_hook, unraisable_hook = threading.excepthook, sys.unraisablehook
    yield
    logging.captureWarnings(False)  # noqa: FBT003  # signature of the standard library
    threading.excepthook, sys.unraisablehook = thread_hook, unraisable_hook
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def written(capsys: pytest.CaptureFixture[str]) -> str:
    output.flush()
    return capsys.readouterr().out


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(capsys).splitlines()]


def test_each_line_is_a_json_object_with_level_time_and_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json"))
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger("x").info("hello", number=1, odd=object, text="ünï")
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["number"], line["text"]) == ("hello", "info", 1, "ünï")
    assert line["request_id"] == "abc"
    assert line["timestamp"].endswith("Z")


def test_a_line_end_in_a_value_starts_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json"))
    structlog.get_logger("x").info("hello", path='/a\n{"event":"forged"}')
    assert len(lines(capsys)) == 1


def fail(password: str) -> None:
    raise ValueError(len(password))


@pytest.mark.parametrize("chosen", ["json", "pretty"])
def test_a_traceback_holds_no_local_values(capsys: pytest.CaptureFixture[str], chosen: str) -> None:
    """Breaks with the default of RichTracebackFormatter, which prints every local variable."""
    configure_logs(LogSettings.model_validate({"format": chosen}))
    try:
        fail("hunter" + "2")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    out = written(capsys)
    assert "ValueError" in out
    assert "hunter2" not in out


@pytest.mark.parametrize("colors", [True, False])
def test_a_traceback_holds_no_local_values_where_logs_are_not_configured(colors: bool) -> None:  # noqa: FBT001
    """In the tests of an application, for example. Breaks without ``show_locals`` in observability/__init__.py."""
    secret = "hunter" + "2"  # not whole in the lines of code that a traceback shows
    with pytest.raises(ValueError, match="7") as raised:
        fail(secret)
    out = structlog.dev.ConsoleRenderer(colors=colors)(None, "error", {"event": "failed", "exc_info": raised.value})
    assert "ValueError" in out
    assert secret not in out


def test_lines_below_the_log_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(level="warning", format="json"))
    structlog.get_logger("x").info("no")
    structlog.get_logger("x").warning("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


def test_libraries_log_in_the_same_format_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(level="debug", format="json"))
    logging.getLogger("library").info("no")
    logging.getLogger("library").warning("careful: %s", "hot")
    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("careful: hot", "warning")


def test_the_pretty_format_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="pretty"))
    structlog.get_logger("x").info("hello", number=1)
    out = written(capsys)
    assert "hello" in out
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


def test_a_pretty_line_has_no_command_to_the_terminal_but_colors(capsys: pytest.CaptureFixture[str]) -> None:
    """Fails if the path of a request, or the text of an exception, clears the terminal or sets its title."""
    configure_logs(LogSettings(format="pretty"))
    structlog.get_logger("x").error("request", path="/\x1b]0;title\x07", exc_info=ValueError("no \x1bc\x9bJ"))
    text = written(capsys)
    assert r"/\x1b]0;title\x07" in text
    assert r"no \x1bc\x9bJ" in text
    assert printable_in_colors(text) == text


def test_the_default_format_is_json_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    structlog.get_logger("x").info("hello")
    assert lines(capsys)[0]["event"] == "hello"


class BrokenRepr:
    def __repr__(self) -> str:
        raise ValueError("no text of it")


class BrokenDel:
    def __del__(self) -> None:
        raise ValueError("late")


class Line(Struct):
    path: str
    value: object = None


@pytest.mark.parametrize("chosen", ["json", "pretty"])
@pytest.mark.parametrize(
    "value", [BrokenRepr(), "\ud800", 2**70, {(1, 2): 3}, float("nan")], ids=lambda one: type(one).__name__
)
def test_no_value_makes_logging_raise(capsys: pytest.CaptureFixture[str], chosen: str, value: object) -> None:
    """Breaks when the renderer raises to the caller: an error handler that logs such a value then responds with a bare
    500.
    """
    configure_logs(LogSettings.model_validate({"format": chosen}))
    structlog.get_logger("x").warning("odd", value=value, kind="odd one")
    JsonLogWriter().write(Line("/a"))
    JsonLogWriter().write(Line("/b", value))
    out = written(capsys)
    assert "odd one" in out
    assert '{"path":"/a"' in out
    assert '{"path":"/b"' in out


def test_failed_log_calls_warnings_and_thread_exceptions_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks when the standard library writes them to standard error, which blocks if it is not read."""
    configure_logs(LogSettings(format="json"))
    logging.getLogger("library").error("%d", "no number")
    warnings.showwarning("soon gone", DeprecationWarning, "library.py", 7)
    thread = threading.Thread(target=fail, args=("secret",), name="worker-7")
    thread.start()
    thread.join()
    BrokenDel()
    captured = lines(capsys)
    assert captured[0]["event"] == "log_render_failed"
    assert "DeprecationWarning: soon gone" in captured[1]["event"]
    assert (captured[2]["event"], captured[2]["thread"]) == ("thread_failed", "worker-7")
    assert (captured[3]["event"], "ValueError: late" in captured[3]["exception"]) == ("unraisable_exception", True)


def test_log_lines_keep_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json"))
    for number in range(50):
        JsonLogWriter().write(Line(f"/{number}"))
        structlog.get_logger("x").info("event", path=f"/{number} event")
    assert [line["path"] for line in lines(capsys)] == [f"/{n}{what}" for n in range(50) for what in ("", " event")]
