"""Logs: one JSON object a line for machines, text for people, and no local values in a traceback."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from restwell.observability.logs import configure_logs
from restwell.settings import LogSettings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """These tests configure the process's logs; give back what was there."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_line_is_a_json_object_with_level_time_and_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json"))
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger("x").info("hello", number=1, odd=object, text="ünï")
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["number"], line["text"]) == ("hello", "info", 1, "ünï")
    assert line["request_id"] == "abc"
    assert line["timestamp"].endswith("Z")


def test_a_line_end_in_a_value_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json"))
    structlog.get_logger("x").info("hello", path='/a\n{"event":"forged"}')
    assert len(lines(capsys)) == 1


def fail(password: str) -> None:
    raise ValueError(len(password))


@pytest.mark.parametrize("chosen", ["json", "pretty"])
def test_a_traceback_holds_no_local_values(capsys: pytest.CaptureFixture[str], chosen: str) -> None:
    """Breaks when RichTracebackFormatter is left at its default, which prints every local variable."""
    configure_logs(LogSettings.model_validate({"format": chosen}))
    try:
        fail("hunter" + "2")
    except ValueError:
        structlog.get_logger("x").exception("crash")
    out = capsys.readouterr().out
    assert "ValueError" in out
    assert "hunter2" not in out


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(level="warning", format="json"))
    structlog.get_logger("x").info("no")
    structlog.get_logger("x").warning("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


def test_lines_of_libraries_look_the_same_and_come_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(level="debug", format="json"))
    logging.getLogger("library").info("no")
    logging.getLogger("library").warning("careful: %s", "hot")
    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("careful: hot", "warning")


def test_people_read_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="pretty"))
    structlog.get_logger("x").info("hello", number=1)
    out = capsys.readouterr().out
    assert "hello" in out
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


def test_by_itself_it_is_json_where_no_one_watches(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    structlog.get_logger("x").info("hello")
    assert lines(capsys)[0]["event"] == "hello"
