"""What a job is: a function with a name, typed arguments, and rules for when it fails."""

import inspect
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Concatenate, Final, Generic, NamedTuple, ParamSpec, TypeVar, overload

import msgspec
from msgspec import Struct

from restwell.errors import ConfigurationError, PermanentFailure
from restwell.jobs.context import JobContext
from restwell.jobs.cron import Cron

P = ParamSpec("P")
R = TypeVar("R")

MAX_REQUIREMENT: Final = 200
MAX_ARGUMENT_BYTES: Final = 65_536
DEFAULT_QUEUE: Final = "default"
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class UnreadableArguments(PermanentFailure):
    """What is stored as a job's arguments is no JSON object, or does not fit its types."""


class NotKnownHere(Exception):
    """Another release has enqueued it: this one does not know what it ``requires``, a job's name or one of its arguments."""

    def __init__(self, requires: str) -> None:
        self.requires = requires
        super().__init__(requires)


def requirement(name: str, argument: str | None = None) -> str:
    """What a worker has to know, as it is stored: without the character zero, and of limited length."""
    text = name if argument is None else f"{name}({argument})"
    return text.replace("\x00", "\\x00")[:MAX_REQUIREMENT]


class Backoff(NamedTuple):
    """How long to wait after a failed attempt: a random time up to ``initial_seconds``, twice that after the next, ``max_seconds`` at most.

    Random over the whole range ("full jitter"), so that what failed together does not come back together.
    """

    initial_seconds: float = 2.0
    max_seconds: float = 3_600.0

    def delay_seconds_after(self, attempt: int) -> float:
        longest = min(self.max_seconds, self.initial_seconds * 2.0 ** min(attempt - 1, 60))
        return random.uniform(0, longest)  # noqa: S311  # jitter, no secret


@dataclass(frozen=True)
class Job(Generic[P, R]):
    """A function that runs later, in a worker. Made with ``job``, put into the queue with ``Jobs.enqueue``.

    A higher ``priority`` runs sooner, among the jobs of its queue. ``timeout_seconds`` is for each attempt. While a job with a
    ``unique_key`` is unfinished, another of the same key is not added.
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

    def with_options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay_seconds: float | None = None,
        unique_key: str | None = None,
        max_attempts: int | None = None,
    ) -> "Job[P, R]":
        """The same job, put into the queue otherwise; what is left out stays as it was declared."""
        given: dict[str, Any] = {
            "queue": None if queue is None else _queue(queue),
            "priority": priority,
            "delay_seconds": delay_seconds,
            "unique_key": unique_key,
            "max_attempts": max_attempts,
        }
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def encode(self, positional: tuple[Any, ...], named: dict[str, Any]) -> str:
        """The arguments as stored. Raises TypeError for those that the function does not take, and for too much of them."""
        names = self.arguments.__struct_fields__[: len(positional)]
        try:
            encoded = msgspec.json.encode(self.arguments(**dict(zip(names, positional, strict=True)), **named))
            self._read(encoded)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise TypeError(f"job {self.name}: {error}") from None
        if len(encoded) > MAX_ARGUMENT_BYTES:
            raise TypeError(
                f"job {self.name}: {len(encoded):,} bytes of arguments, {MAX_ARGUMENT_BYTES:,} at most; store it and pass its id"
            )
        return encoded.decode()

    def decode(self, stored: str) -> dict[str, Any]:
        """The arguments for the function. Raises NotKnownHere for one that it does not take, UnreadableArguments for all else."""
        try:
            return msgspec.structs.asdict(self._read(stored.encode()))
        except _UNREADABLE as error:
            for name in self._names_in(stored):
                if name not in self.arguments.__struct_fields__:
                    raise NotKnownHere(requirement(self.name, name)) from None
            raise UnreadableArguments(str(error)) from error

    @property
    def requirements(self) -> list[str]:
        """All that a worker which knows this job knows."""
        arguments = (requirement(self.name, argument) for argument in self.arguments.__struct_fields__)
        return [requirement(self.name), *arguments]

    @staticmethod
    def _names_in(stored: str) -> list[str]:
        try:
            found = msgspec.json.decode(stored)
        except _UNREADABLE:
            return []
        return sorted(found) if isinstance(found, dict) else []

    def _read(self, encoded: bytes) -> Struct:
        return msgspec.json.decode(encoded, type=self.arguments)


def call(module: str, name: str, arguments: dict[str, Any]) -> Any:
    """Call the function of a job that is a module's own, in whichever process; the job has taken the function's name there."""
    found: Job[..., Any] = getattr(import_module(module), name)
    return found.function(**arguments)


class _Decorator:
    """What ``job(...)`` gives: it makes a Job of an async function, which gets its JobContext first, or of a plain one."""

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
                [f"job {name}: a plain function has to be a module's own, to be found by a process"]
            )
        return Job(
            function=function,
            name=name,
            arguments=_arguments_of(name, function, is_async=is_async),
            is_async=is_async,
            **options,
        )


def job(
    *,
    name: str | None = None,
    queue: str = DEFAULT_QUEUE,
    priority: int = 0,
    max_attempts: int = 5,
    timeout_seconds: float = 300.0,
    backoff: Backoff = Backoff(),  # noqa: B008  # it never changes
    cron: str | None = None,
    timezone: str = "UTC",
) -> _Decorator:
    """Make a job of a function.

    An async function gets the Run as its first argument, and may wait for whatever it likes. A plain function is for work of the
    processor: it runs in a process of its own, which is ended when its time is over; it has to be a module's own, and gets its
    arguments only. ``name`` is what is stored, and stays when the function is renamed.

    ``cron`` (five fields, or six with seconds before them) makes one job for each tick, at the wall clock's time in ``timezone``;
    if the function has an argument ``scheduled_at``, a datetime, it gets that time. Raises ConfigurationError for one that cannot be read.
    """
    options = {
        "name": name,
        "queue": _queue(queue),
        "priority": priority,
        "max_attempts": max_attempts,
        "timeout_seconds": timeout_seconds,
        "backoff": backoff,
        "cron": Cron(cron, timezone) if cron is not None else None,
    }
    return _Decorator(options)


def _queue(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,50}", name):
        raise ConfigurationError([f"queue {name!r}: a name is made of letters, digits, '_', '.' and '-', 50 at most"])
    return name


def _arguments_of(name: str, function: Callable[..., Any], *, is_async: bool) -> type[Struct]:
    """A Struct with a field for each argument."""
    hints = inspect.get_annotations(function, eval_str=True)
    parameters = list(inspect.signature(function).parameters.values())
    if is_async:
        if not parameters or hints.get(parameters[0].name) is not JobContext:
            raise ConfigurationError([f"job {name}: an async job has a first argument of type JobContext"])
        del parameters[0]
    fields: list[Any] = []
    for parameter in parameters:
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise ConfigurationError([f"job {name}: its arguments need names; {parameter} has none"])
        if parameter.name not in hints:
            raise ConfigurationError([f"job {name}: its argument {parameter.name} needs a type"])
        field = (parameter.name, hints[parameter.name])
        fields.append(field if parameter.default is parameter.empty else (*field, parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True, frozen=True)
