"""Removes secrets from what operators see of a job: its arguments, result and errors."""

import re
from collections.abc import Collection
from typing import Any, Final

import msgspec

from restwell.jobs._rows import FailedAttempt, JobRecord

REDACTED: Final = "[redacted]"
UNREADABLE: Final = "[not JSON]"
MIN_SECRET_CHARS: Final = 4
"""Shorter values are not searched for in texts: they occur in other words."""

_SECRET_NAME: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|authoriz|cookie|session_?id|api_?key|private_?key|access_?key"
    r"|(?:^|_)(?:otp|pin|cvc|cvv|iban|ssn|card_?number|pan)(?:$|_)",
    re.IGNORECASE,
)


class Secrets:
    """The secrets of one job: the arguments that it declares, and every field whose name looks like a secret.

    ``document`` collects them, and ``text`` removes them, also from errors and tracebacks.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()

    def document(self, stored: str, secret_arguments: Collection[str] = ()) -> str:
        """The JSON document without its secrets."""
        try:
            decoded = msgspec.json.decode(stored)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return msgspec.json.encode(UNREADABLE).decode()
        return msgspec.json.encode(self._walk(decoded, secret_arguments)).decode()

    def text(self, text: str) -> str:
        """The text without the values of the secrets."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, REDACTED)
        return text

    def _walk(self, value: Any, secret_arguments: Collection[str] = ()) -> Any:
        if isinstance(value, list):
            return [self._walk(each) for each in value]
        if isinstance(value, dict):
            return {
                name: self._redacted(each)
                if name in secret_arguments or _SECRET_NAME.search(name)
                else self._walk(each)
                for name, each in value.items()
            }
        return value

    def _redacted(self, value: Any) -> Any:
        """Remember the values in it. None and booleans are no secrets."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, list | dict):
            for each in value.values() if isinstance(value, dict) else value:
                self._redacted(each)
        elif len(text := str(value)) >= MIN_SECRET_CHARS:
            self._values.add(text)
            self._values.add(msgspec.json.encode(text)[1:-1].decode())
            self._values.add(repr(text)[1:-1])
        return REDACTED


class Redaction:
    """A job without its secrets. Their values are also removed from errors, tracebacks and the result."""

    def __init__(self, record: JobRecord, secret_arguments: Collection[str]) -> None:
        secrets = Secrets()
        arguments = secrets.document(record.arguments, secret_arguments)
        result = None if record.result is None else secrets.document(record.result)
        self.text = secrets.text
        self.record = msgspec.structs.replace(
            record,
            arguments=self.text(arguments),
            result=None if result is None else self.text(result),
            unique_key=None if record.unique_key is None else self.text(record.unique_key),
        )

    def failure(self, failure: FailedAttempt) -> FailedAttempt:
        return msgspec.structs.replace(failure, error=self.text(failure.error), traceback=self.text(failure.traceback))
