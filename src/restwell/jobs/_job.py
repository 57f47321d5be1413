"""Job definitions: a function with a name, typed arguments, and retry rules."""

import inspect
import random
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Concatenate, Final, Generic, NamedTuple, Never, ParamSpec, TypeVar, overload

import msgspec
from msgspec import Struct

from restwell.errors import ConfigurationError, PermanentFailure
from restwell.jobs._context import JobContext
from restwell.jobs._cron import Cron

P = ParamSpec("P")
R = TypeVar("R")

MAX_SIGNATURE_CHARS: Final = 200
MAX_ARGUMENT_BYTES: Final = 65_536
DEFAULT_QUEUE: Final = "default"
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class UnreadableArguments(PermanentFailure):
    """The stored arguments are not a JSON object, or do not match the argument types."""


class UnknownJob(Exception):
    """This release does not know the job or one of its arguments. ``requires`` is the missing signature."""

    def __init__(self, requires: str) -> None:
        self.requires = requires
        super().__init__(requires)


def signature(name: str, argument: str | None = None) -> str:
    """``name`` or ``name(argument)``, with NUL escaped, truncated to MAX_SIGNATURE_CHARS."""
    text = name if argument is None else f"{name}({argument})"
    return text.replace("\x00", "\\x00")[:MAX_SIGNATURE_CHARS]


class Backoff(NamedTuple):
    """Exponential backoff with full jitter.

    The delay is uniformly random between 0 and ``initial_seconds * 2 ** (attempt - 1)``, capped at ``max_seconds``.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    initial_seconds: float = 2.0
    max_seconds: float = 3_600.0

    def delay_seconds_after(self, attempt: int) -> float:
        max_delay_seconds = min(self.max_seconds, self.initial_seconds * 2.0 ** min(attempt - 1, 60))
        return random.uniform(0, max_delay_seconds)  # noqa: S311  # jitter, not a secret


@dataclass(frozen=True)
class Job(Generic[P, R]):
    """A job definition, created by the ``job`` decorator and enqueued with ``Jobs.enqueue``.

    Within a queue, jobs with a higher ``priority`` run first. ``timeout_seconds`` applies to each attempt. While a job
    with a ``unique_key`` is unfinished, enqueueing the same key returns the existing job.
    """

    function: Callable[..., Any]
    name: str
    queue: str
    max_attempts: int
    timeout_seconds: float
    backoff: Backoff
    cron: Cron | None
    arguments: type[Struct]
    is_async: bool
    priority: int = 0
    delay_seconds: float = 0.0
    unique_key: str | None = None
    secret_arguments: frozenset[str] = frozenset()

    def with_options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay_seconds: float | None = None,
        unique_key: str | None = None,
        max_attempts: int | None = None,
    ) -> "Job[P, R]":
        """A copy with these options. Options that are None keep their declared value."""
        options: dict[str, Any] = {
            "queue": None if queue is None else _queue(queue),
            "priority": priority,
            "delay_seconds": delay_seconds,
            "unique_key": unique_key,
            "max_attempts": max_attempts,
        }
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def encode(self, positional: tuple[Any, ...], named: dict[str, Any]) -> str:
        """Encode the arguments as JSON.

        Raises TypeError for arguments that do not match the function, and for more than MAX_ARGUMENT_BYTES.
        """
        names = self.arguments.__struct_fields__[: len(positional)]
        try:
            encoded = msgspec.json.encode(self.arguments(**dict(zip(names, positional, strict=True)), **named))
            self._read(encoded)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise TypeError(f"job {self.name}: {error}") from None
        if len(encoded) > MAX_ARGUMENT_BYTES:
            raise TypeError(
                f"job {self.name}: {len(encoded):,} bytes of arguments, {MAX_ARGUMENT_BYTES:,} at most;"
                " store them and pass an id"
            )
        return encoded.decode()

    def decode(self, stored: str) -> dict[str, Any]:
        """Decode stored arguments.

        Raises UnknownJob for an unknown argument, UnreadableArguments for any other mismatch.
        """
        try:
            return msgspec.structs.asdict(self._read(stored.encode()))
        except _UNREADABLE as error:
            for name in self._argument_names(stored):
                if name not in self.arguments.__struct_fields__:
                    raise UnknownJob(signature(self.name, name)) from None
            raise UnreadableArguments(str(error)) from error

    @property
    def signatures(self) -> list[str]:
        """The signatures that a worker with this job supports."""
        arguments = (signature(self.name, argument) for argument in self.arguments.__struct_fields__)
        return [signature(self.name), *arguments]

    @staticmethod
    def _argument_names(stored: str) -> list[str]:
        try:
            arguments = msgspec.json.decode(stored)
        except _UNREADABLE:
            return []
        return sorted(arguments) if isinstance(arguments, dict) else []

    def _read(self, encoded: bytes) -> Struct:
        return msgspec.json.decode(encoded, type=self.arguments)


def call_function(module: str, name: str, arguments: dict[str, Any]) -> Any:
    """Import the job ``name`` of ``module`` and call its function. Works in any process."""
    job: Job[..., Any] = getattr(import_module(module), name)
    return job.function(**arguments)


class _Decorator:
    """Turns an async function, whose first argument is a JobContext, or a plain function into a Job."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], Awaitable[R]]) -> Job[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R]) -> Job[P, R]: ...

    def __call__(self, function: Callable[..., Any]) -> Job[..., Any]:
        is_async = inspect.iscoroutinefunction(function)
        options = dict(self._options)
        name = options.pop("name") or function.__name__
        if not is_async and "<locals>" in function.__qualname__:
            raise ConfigurationError(
                [f"job {name}: a plain function must be defined at module level, so that a process can import it"]
            )
        arguments = _arguments_of(name, function, is_async=is_async)
        if unknown := sorted(options["secret_arguments"] - set(arguments.__struct_fields__)):
            raise ConfigurationError([f"job {name}: secret_arguments names no argument: {', '.join(unknown)}"])
        return Job(
            function=function,
            name=name,
            arguments=arguments,
            is_async=is_async,
            **options,
        )


def job(
    *misused: Never,
    name: str | None = None,
    queue: str = DEFAULT_QUEUE,
    priority: int = 0,
    max_attempts: int = 5,
    timeout_seconds: float = 300.0,
    backoff: Backoff = Backoff(),  # noqa: B008  # immutable
    cron: str | None = None,
    timezone: str = "UTC",
    secret_arguments: Collection[str] = (),
) -> _Decorator:
    """Turn a function into a job.

    An async function runs in the worker's event loop, with a JobContext as its first argument. A plain function is
    CPU-bound work: it runs in a separate process, which is killed at the timeout. It must be defined at module level
    and gets its arguments only. ``name`` is stored with each job; it defaults to the function's name.

    ``cron`` (five fields, or six with seconds first) enqueues one job for each scheduled time, in the wall-clock time
    of ``timezone``. If the function has an argument ``scheduled_at``, a datetime, it gets that time.

    Operators do not see the values of ``secret_arguments``, nor of fields whose name looks like a secret, such as
    ``password``. Raises ConfigurationError for an invalid declaration.
    """
    wrong: tuple[object, ...] = misused
    if wrong:
        given = getattr(wrong[0], "__qualname__", wrong[0])
        raise TypeError(f"{given} has a decorator without parentheses: write @job()")
    options = {
        "name": name,
        "queue": _queue(queue),
        "priority": priority,
        "max_attempts": max_attempts,
        "timeout_seconds": timeout_seconds,
        "backoff": backoff,
        "cron": Cron(cron, timezone) if cron is not None else None,
        "secret_arguments": frozenset(secret_arguments),
    }
    return _Decorator(options)


def _queue(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,50}", name):
        raise ConfigurationError([f"queue {name!r}: a name has at most 50 letters, digits, '_', '.' and '-'"])
    return name


def _arguments_of(name: str, function: Callable[..., Any], *, is_async: bool) -> type[Struct]:
    """A Struct type with a field for each argument."""
    hints = inspect.get_annotations(function, eval_str=True)
    parameters = list(inspect.signature(function).parameters.values())
    if is_async:
        if not parameters or hints.get(parameters[0].name) is not JobContext:
            raise ConfigurationError([f"job {name}: the first argument of an async job must be a JobContext"])
        del parameters[0]
    fields: list[Any] = []
    for parameter in parameters:
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise ConfigurationError([f"job {name}: *args and **kwargs are not supported: {parameter}"])
        if parameter.name not in hints:
            raise ConfigurationError([f"job {name}: argument {parameter.name} has no type annotation"])
        field = (parameter.name, hints[parameter.name])
        fields.append(field if parameter.default is parameter.empty else (*field, parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True, frozen=True)


mail_job: Final = job(queue="mail", max_attempts=10, timeout_seconds=60.0, backoff=Backoff(initial_seconds=30.0))
"""Decorator of jobs that send mail: own queue, retried for about 90 minutes while the mail server is down."""
