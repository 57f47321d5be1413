"""Secrets are removed from the arguments, the result and the errors of a job."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from restwell.errors import ConfigurationError
from restwell.ids import new_id
from restwell.jobs import JobContext, JobRecord, job
from restwell.jobs._redaction import REDACTED, Redaction

NOW = datetime.now(UTC)


def record(arguments: str, **more: Any) -> JobRecord:
    given: dict[str, Any] = dict.fromkeys(JobRecord.__struct_fields__)
    given |= {"id": new_id(), "name": "send", "queue": "mail", "state": "dead", "priority": 0, "attempts": 1}
    return JobRecord(**given | {"max_attempts": 5, "run_at": NOW, "enqueued_at": NOW, "arguments": arguments} | more)


def arguments_of(arguments: Any, *secret: str) -> Any:
    redaction = Redaction(record(msgspec.json.encode(arguments).decode()), secret)
    return msgspec.json.decode(redaction.record.arguments)


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "apiKey", "access_token", "client_secret", "Authorization", "otp", "card_number"],
)
def test_fields_whose_names_look_like_secrets_are_redacted_at_every_depth(name: str) -> None:
    """Breaks when only the arguments themselves are examined."""
    assert arguments_of({name: "x", "order": 7}) == {name: REDACTED, "order": 7}
    assert arguments_of({"rows": [{"deep": {name: ["x"]}}]}) == {"rows": [{"deep": {name: REDACTED}}]}


@pytest.mark.parametrize("name", ["order_id", "key", "pinned", "company", "text", "description"])
def test_other_fields_are_shown(name: str) -> None:
    assert arguments_of({name: "value"}) == {name: "value"}


def test_declared_arguments_are_redacted_and_absent_values_are_not() -> None:
    assert arguments_of({"code": "1234", "user": 5}, "code") == {"code": REDACTED, "user": 5}
    assert arguments_of({"code": None, "password": False}, "code") == {"code": None, "password": False}


def test_the_values_of_secrets_are_removed_from_every_text() -> None:
    """Breaks when a value is searched for in one spelling only: JSON and a traceback escape it differently."""
    found = Redaction(
        record('{"code":"a\\"b\\u00e9\'c","n":{"pin":4711}}', result='"got a\\"bé\'c"', unique_key="k:4711"), ["code"]
    )
    assert found.record.result == f'"got {REDACTED}"'
    assert found.record.unique_key == f"k:{REDACTED}"
    assert found.text("ValueError: a\"bé'c is wrong, 4711 too") == f"ValueError: {REDACTED} is wrong, {REDACTED} too"
    assert found.text(repr("a\"bé'c")) == f"'{REDACTED}'"


def test_short_values_are_not_searched_for() -> None:
    found = Redaction(record('{"pin":"1"}'), [])
    assert found.text("attempt 1") == "attempt 1"


def test_arguments_that_are_not_json_are_not_shown() -> None:
    assert Redaction(record("{password: hunter22"), []).record.arguments == '"[not JSON]"'


def test_a_declared_secret_must_be_an_argument() -> None:
    with pytest.raises(ConfigurationError, match="job send: secret_arguments names no argument: tokn"):

        @job(name="send", secret_arguments=["tokn"])
        async def send(context: JobContext, token: str) -> None: ...
